"""Starts the commands: a package that is not installed is one line, not a traceback."""

from __future__ import annotations

import importlib

from smsr_runtime.console import missing_package, say


def run() -> int:
    """smsr-run."""
    return _start("smsr-run", "smsr_runtime.run.command")


def doctor() -> int:
    """smsr-doctor."""
    return _start("smsr-doctor", "smsr_runtime.doctor.command")


def _start(program: str, module: str) -> int:
    """The exit code of the module's main(); 1 where it cannot be imported."""
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        name = (error.name or str(error)).split(".")[0]
        if name == "smsr_runtime":
            raise
        say(program, f"error: {missing_package(program, name)}")
        return 1
    code: int = main()
    return code
