"""The commands where only the runtime's packages are installed: --help works, a missing package is one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from smsr.network_config import NetworkConfig
from smsr.training import weights
from tests.helpers import random_network, run_python
from tests.training.helpers import write_pictures

BLOCKED = (
    "torch", "onnx", "onnx_graphsurgeon", "safetensors", "tabulate", "jinja2", "matplotlib", "openvino", "tensorboard",
)  # fmt: skip
COMMANDS = {
    "smsr-train": "smsr.training.cli",
    "smsr-eval": "smsr.evaluation.cli",
    "smsr-bench": "smsr_bench.cli",
    "smsr-export": "smsr_export.cli",
}


def command(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process that has none of the BLOCKED packages."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"
        f"from {COMMANDS[name]} import main; sys.exit(main(sys.argv[1:]))"
    )
    return run_python("-c", code, *arguments, cwd=cwd)


@pytest.mark.parametrize(
    "words", [[name] for name in COMMANDS] + [["smsr-train", "pack"], ["smsr-train", "weights"]], ids=" ".join
)
def test_help_needs_no_extra(words: list[str], tmp_path: Path) -> None:
    done = command(*words, "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {' '.join(words)} "), done.stderr
    assert not done.stderr


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["smsr-train", "pictures", "-o", "run"], "torch"),
        (["smsr-train", "weights", "best.pt", "-o", "w.safetensors"], "torch"),
        (["smsr-eval", "best.pt", "--data", "pictures"], "torch"),
        (["smsr-bench", "x.smsr", "pictures"], "tabulate"),
        (["smsr-export", "best.pt"], "torch"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_a_missing_package_is_one_line_with_the_command_that_installs_it(
    words: list[str], package: str, tmp_path: Path
) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{words[0]}: error: ") and "pip install 'smsr[" in done.stderr
    assert f"expected the package {package}, got not installed" in done.stderr


def test_pictures_are_packed_without_pytorch(tmp_path: Path) -> None:
    done = command("smsr-train", "pack", write_pictures(tmp_path / "p", 2), "-o", "p.zip", cwd=tmp_path)
    assert done.returncode == 0 and "2 of 2 pictures" in done.stdout, done.stderr


def test_a_bundle_is_evaluated_without_pytorch(tmp_path: Path) -> None:
    from smsr_export.cli import main as export

    home = write_pictures(tmp_path / "Set5" / "HR", 2, (40, 52))
    write_pictures(tmp_path / "Set5" / "LR_bicubic" / "X2", 2, (20, 26))
    weights.write(tmp_path / "tiny.safetensors", random_network(NetworkConfig(2, 16, 2, 2)))
    assert export([str(tmp_path / "tiny.safetensors"), "-o", str(tmp_path / "tiny.smsr")]) == 0
    done = command("smsr-eval", "tiny.smsr", "--data", home.parent, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0 and "| Set5 (2) |" in done.stdout, done.stderr
    assert (tmp_path / "out" / "results.json").is_file()
