"""Peak memory: each engine alone in a process of its own that runs one picture twice.

The child imports only what its engine needs, as a program that ships that engine would: the rival's ONNX file is
made beforehand (only PyTorch's engines read the bundle with the package onnx). The figure is that of the whole
process: interpreter, libraries, weights, and the run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

import smsr_runtime
from smsr_bench.runs import Run, onnxruntime_run, openvino_run
from smsr_runtime.errors import DataError
from smsr_runtime.ort.native import Library

RIVAL_FILE, SPAN_FILE = "rival.onnx", "span.onnx"


def peak_bytes(engine: str, bundle: Path, image: Path, folder: Path, threads: int) -> int:
    """Largest resident memory of a process that runs `engine`; image: .npy, (1, 3, H, W); folder: of the models."""
    words = [sys.executable, "-m", "smsr_bench.memory", engine, bundle, image, folder, threads]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        got = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise DataError(f"memory of {engine}", "a run to measure", got, "leave the engine out, or --no-memory")
    return int(done.stdout.split()[-1])


def _main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("engine", "bundle", "image", "folder"):
        parser.add_argument(name)
    parser.add_argument("threads", type=int)
    options = parser.parse_args()
    image = np.load(options.image)
    run = _maker(options)
    for _ in range(2):
        run(image)
    print(_high_water())


def _maker(options: argparse.Namespace) -> Run:
    engine: str = options.engine
    if engine in ("native", "body"):
        return _ours(options)
    model = str(Path(options.folder) / (SPAN_FILE if engine.startswith("span") else RIVAL_FILE))
    if engine in ("rival", "span"):
        return onnxruntime_run(model, options.threads)
    if engine.startswith(("openvino", "span")):
        return openvino_run(model, "bf16" if engine.endswith("bf16") else "f32", options.threads)
    from smsr_bench.engines import ENGINES
    from smsr_bench.subject import Subject

    return ENGINES[options.engine].make(Subject.open(Path(options.bundle)), options.threads)


def _ours(options: argparse.Namespace) -> Run:
    library = Library.NONE if options.engine == "body" else Library.ENVIRONMENT
    upscaler = smsr_runtime.load(options.bundle, options.threads, "ort", library=library)
    return lambda image: np.asarray(upscaler.upscale_float(image)[0])


def _high_water() -> int:
    """Bytes: VmHWM where there is one, since ru_maxrss also counts the parent that this process was forked from."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    _main()
