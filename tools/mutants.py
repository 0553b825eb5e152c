"""Puts known mistakes into a copy of the repository, one at a time, and runs the test that must notice each.

    python tools/mutants.py [WORD ...]     (make mutants ONLY="WORD ..."): those whose list, file or name holds a WORD;
                                           a list alone: `runtime:`
    python tools/mutants.py --table        writes the table in docs/mutations.md

The mistakes are in tests/mutants/*.toml (docs/mutations.md describes the format). Exit code 1 where one
survives: its test passes although the mistake is there. A list that no longer fits the sources, a test that fails
or is skipped without the mistake, and a mistake that does not build are errors that name the entry (exit code 2); the
other lists and entries are tried all the same.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tools.mutation import entries, page  # noqa: E402  as a command it has its own folder for tools, not the repository
from tools.mutation.trying import say, tried  # noqa: E402
from tools.mutation.working_copy import Copy  # noqa: E402

SMSR = entries.Project(
    root=REPOSITORY,
    packages={"smsr": "", "smsr_export": "export", "smsr_runtime": "runtime", "smsr_bench": "benchmarks"},
    preloaded=("numpy", "cv2", "torch", "onnx", "onnx_graphsurgeon", "onnxruntime", "PIL.Image", "av"),
)
PAGE = REPOSITORY / "docs" / "mutations.md"


def main(arguments: Sequence[str], project: entries.Project = SMSR) -> int:
    """arguments: the command line's. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="mutants.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.table:
            page.write_table(PAGE, entries.read(project.lists))
            return 0
        return _try(project, options.words)
    except entries.MutantError as error:
        say(error)
        return 2


def _try(project: entries.Project, words: Sequence[str]) -> int:
    start = time.monotonic()
    mutants = [one for one in entries.read(project.lists) if entries.chosen(one, words)]
    entries.check_texts(mutants, project.root)
    if not mutants:
        raise entries.MutantError(f"{project.lists}: expected an entry with {' or '.join(words) or 'a name'}, got none")
    with tempfile.TemporaryDirectory(prefix="smsr-mutants-") as folder, Copy(project, Path(folder) / "smsr") as copy:
        found = tried(copy, mutants)
    for one in found.survivors:
        print(f"mutants: survived: {one.list}: {one.name} ({one.file}); {one.judge} passes")
    print(f"{found.noticed} of {len(mutants)} mutants noticed in {(time.monotonic() - start) / 60:.0f} min")
    return 2 if found.errors else 1 if found.survivors else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which removes the copy
    sys.exit(main(sys.argv[1:]))
