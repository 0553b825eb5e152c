"""Bundles whose model reads other files, given to another ONNX Runtime: the oldest that smsr takes opens all of them.

python -m tests.runtime.old_onnxruntime PYTHON      one that has onnxruntime==1.17.*, numpy and opencv-python-headless
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from smsr_runtime.bundle import file_fact
from tests.runtime.helpers import RUNTIME, tiny_model, write_bundle, write_manifest
from tests.runtime.test_hostile_bundles import external

SECRET = 77
"""What the file outside of the bundle holds; a model that reads it subtracts it from the picture's red."""
ALONE = (
    "import sys, numpy, onnxruntime as ort\n"
    "session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
    "image = numpy.full((1, 3, 2, 2), 200, numpy.float32)\n"
    "print('margin', float(session.run(['margin_1'], {'image': image})[0].mean()))\n"
)


def bundles(home: Path) -> dict[str, Path]:
    """By kind; each has the weight of its first module in a file outside of it, or in one that nobody named."""
    secret = home / "secret"
    secret.write_bytes(np.float32(SECRET).tobytes())
    made = {}
    for kind, location in (
        ("above", "../secret"), ("link", "weights"), ("link to a folder", "folder/secret"), ("unnamed", "weights"),
        ("absolute", str(secret)), ("above, named", "../secret"),
    ):  # fmt: skip
        bundle = write_bundle(home / f"{kind}.smsr", tiny_model())
        (bundle / "model.onnx").write_bytes(external(location))
        write_manifest(bundle)
        if kind == "link":
            (bundle / "weights").symlink_to(secret)
            write_manifest(bundle)  # which names it
        if kind == "link to a folder":
            (bundle / "folder").symlink_to(home)
            name(bundle, location, secret)
        if kind == "unnamed":
            (bundle / "weights").write_bytes(secret.read_bytes())
        if kind == "above, named":
            name(bundle, location, secret)
        made[kind] = bundle
    return made


def name(bundle: Path, location: str, file: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][location] = file_fact(file.read_bytes())
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def main() -> int:
    """A row per bundle: what that ONNX Runtime alone does with its model, and what smsr-run does with the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", type=Path)
    python = parser.parse_args().python
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        Image.fromarray(np.full((2, 2, 3), 50, np.uint8)).save(home / "in.png")
        good = write_bundle(home / "good.smsr", tiny_model())
        wrong += run(python, good, home).returncode != 0
        for kind, bundle in bundles(home).items():
            alone = subprocess.run(
                [python, "-c", ALONE, bundle / "model.onnx"], capture_output=True, text=True, check=False
            )
            reads = f"margin {200 - SECRET:.1f}" in alone.stdout
            done = run(python, bundle, home)
            refused = done.returncode == 1 and done.stderr.count("\n") == 1 and not (home / "out.png").exists()
            wrong += not refused
            print(f"| {kind} | {'reads it' if reads else 'refuses'} | {'refused' if refused else done.stderr} |")
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def run(python: Path, bundle: Path, home: Path) -> subprocess.CompletedProcess[str]:
    (home / "out.png").unlink(missing_ok=True)
    command = [str(python), str(RUNTIME / "run.py"), str(bundle), str(home / "in.png"), "-o", str(home / "out.png")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
