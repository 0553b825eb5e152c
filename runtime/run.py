"""Runs a bundle without installing anything: python runtime/run.py BUNDLE INPUT -o OUTPUT (try --help)."""

from smsr_runtime.run.command import main

if __name__ == "__main__":
    raise SystemExit(main())
