"""python -m smsr_runtime BUNDLE INPUT -o OUTPUT: the same as smsr-run."""

from smsr_runtime.run.command import main

if __name__ == "__main__":
    raise SystemExit(main())
