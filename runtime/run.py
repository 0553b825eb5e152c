"""Runs a bundle without installing anything: python runtime/run.py BUNDLE INPUT -o OUTPUT (try --help)."""

from smsr_runtime.start import run

if __name__ == "__main__":
    raise SystemExit(run())
