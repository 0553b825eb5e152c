"""python -m smsr_runtime BUNDLE INPUT -o OUTPUT: the same as smsr-run."""

from smsr_runtime.start import run

if __name__ == "__main__":
    raise SystemExit(run())
