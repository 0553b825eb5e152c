"""`torchrun --nproc-per-node N -m smsr.training ...`, or `python -m smsr.training ...`."""

import sys

from smsr.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
