"""Runs pytest in a fork of itself: `python pytest_server.py PACKAGE ...`, which imports these packages once.

Each line of stdin is JSON, [pytest's words, a file for the output]; the answer to it is a line with the exit code.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys

import pytest


def main() -> None:
    sys.path[0] = ""  # the working folder, not this file's
    for name in sys.argv[1:]:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    for line in sys.stdin:
        words, log = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(words, log)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(words: list[str], log: str) -> None:
    """Does not return."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, number)
    code = int(pytest.main(words))
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
