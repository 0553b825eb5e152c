"""What a run makes: jobs, one per result, and the plan of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STREAM = "-"
"""As INPUT: a picture from stdin; as OUTPUT: to stdout."""


@dataclass(frozen=True)
class Job:
    """One file to make; masks: the file that shows the spatial masks, a picture or a video as the result is, or None.

    video: whether a video is made, and no picture.
    from_stdin, to_stdout: then `input` and `output` are names for messages, `output` with the suffix of its format.
    """

    input: Path
    output: Path
    masks: Path | None = None
    video: bool = False
    from_stdin: bool = False
    to_stdout: bool = False


@dataclass(frozen=True)
class Plan:
    """jobs in natural order; folder: to be created; skipped: other files seen; there: results that --resume leaves.

    notes: what of INPUT is left alone though it may be meant.
    """

    jobs: list[Job]
    folder: Path | None = None
    skipped: int = 0
    there: int = 0
    notes: tuple[str, ...] = ()
