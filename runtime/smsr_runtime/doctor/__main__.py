"""python -m smsr_runtime.doctor: the same as smsr-doctor."""

from smsr_runtime.doctor.command import main

if __name__ == "__main__":
    raise SystemExit(main())
