"""smsr_bench: times a bundle against its rivals, in one run."""

import os

# ONNX Runtime's wheels for Linux report usage over the network since 1.29, NNCF does unless it believes to be in its
# developers' CI; a benchmark must not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("NNCF_CI", "1")
