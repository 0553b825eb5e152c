"""How the jobs are done, and numbers as their records have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from smsr_runtime.governor import Target
from smsr_runtime.media.image import Saving
from smsr_runtime.media.video.options import VideoOptions


@dataclass(frozen=True)
class Settings:
    """quiet: only errors. json: results, with active shares, go to stdout as JSON and text for people to stderr.

    debug: exceptions are raised instead of recorded. video, saving: how results are encoded. target: what theta is
    governed by; stats: figures are shown while a video is made. replace: results that appeared since the plan was
    made are replaced.
    """

    quiet: bool = False
    json: bool = False
    debug: bool = False
    video: VideoOptions = field(default_factory=VideoOptions)
    saving: Saving = field(default_factory=Saving)
    target: Target | None = None
    stats: bool = False
    replace: bool = True


def rounded(shares: Sequence[float]) -> list[float]:
    return [round(share, 6) for share in shares]
