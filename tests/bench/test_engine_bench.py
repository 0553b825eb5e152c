"""engine_bench, its script and its table, with a session that gives stored outputs instead of a GPU's."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smsr import contract, metrics
from smsr_bench import tensorrt_files
from smsr_export.records import FoldedNetwork
from smsr_export.trt_model import build_trt_model
from tests.bench.conftest import SCALE, SIZE
from tests.conftest import missing
from tests.helpers import REPOSITORY

SCRIPT = REPOSITORY / "benchmarks" / "gpu" / "bench_tensorrt.sh"
TABLE = REPOSITORY / "benchmarks" / "gpu" / "table.py"
OURS = ("smsr", "smsr-branch", "smsr-half")


def call(program: Path, *words: object, **environment: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )  # fmt: skip


@pytest.fixture
def bench(program: Path, data: Path, tmp_path: Path) -> Any:
    """bench(words..., outputs=FOLDER) -> the finished program and its results, or None."""

    def run(*words: object, outputs: Path | None = None, model: str = "smsr") -> tuple[Any, Any]:
        results = tmp_path / "results.json"
        done = call(
            program, "--pictures", data, "--onnx", data / f"{model}.onnx", "--references", data / model,
            "--json", results, *words, SMSR_ENGINE_BENCH_OUTPUTS=outputs or data / model,
        )  # fmt: skip
        return done, json.loads(results.read_text()) if results.exists() else None

    return run


def changed(data: Path, target: Path, file: str, change: Any) -> Path:
    """The outputs of `smsr`, one file changed."""
    shutil.copytree(data / "smsr", target)
    values = np.fromfile(target / file, np.float32)
    change(values)
    values.tofile(target / file)
    return target


def test_equal_outputs_pass_and_are_reported(bench: Any, data: Path) -> None:
    done, results = bench("--batches", "1,4", "--profile")
    assert (done.returncode, done.stderr) == (0, "")
    rows = results["pictures"]
    assert [(row["name"], row["batch"]) for row in rows] == [
        ("plain", 1), ("graded", 1), ("plain", 4), ("graded", 4)
    ]  # fmt: skip
    assert {(row["psnr"], *row["flipped"]) for row in rows} == {(999.0, 0, 0)}
    margin = np.fromfile(data / "smsr" / "plain.margin_1.f32", np.float32)
    assert rows[0]["active"][0] == rows[2]["active"][0] == pytest.approx(np.mean(margin > 0))
    assert [layer["name"] for layer in results["layers"]] == ["head.0/Conv", "tail/Conv"]
    assert "graph 1.000 ms" in done.stdout and results["failures"] == 0


def test_the_psnr_is_that_of_the_outputs(
    bench: Any, data: Path, tmp_path: Path, pictures: list[tensorrt_files.Picture]
) -> None:
    """Against NumPy and smsr.metrics; the reference's picture is in range and far from rounding ties."""
    generator = np.random.default_rng(1)
    wild = generator.uniform(-60, 320, (3, 2 * SIZE[0], 2 * SIZE[1])).astype(np.float32)
    target = changed(data, tmp_path / "outputs", "graded.upscaled.f32", lambda v: np.copyto(v, wild.ravel()))
    done, results = bench(outputs=target)
    reference = np.fromfile(data / "smsr" / "graded.upscaled.f32", np.float32)
    expected = 10 * np.log10(255**2 / np.mean((reference.astype(np.float64) - wild.ravel()) ** 2))
    row = results["pictures"][1]
    assert row["psnr"] == pytest.approx(expected, abs=1e-5)
    high = pictures[1].high
    assert high is not None
    on_y = metrics.psnr_y(metrics.quantise(wild.transpose(1, 2, 0)), high, SCALE)
    assert row["psnr_y"] == pytest.approx(on_y, abs=1e-5) and results["pictures"][0]["psnr_y"] is None
    assert done.returncode == 1 and "graded: expected a PSNR against the reference of at least 55" in done.stderr
    assert f"mean PSNR on Y of 1 pictures: {on_y:.4f} dB" in done.stdout


@pytest.mark.parametrize("limit", [40, 60])
def test_a_small_error_passes_a_low_limit_only(limit: int, bench: Any, data: Path, tmp_path: Path) -> None:
    """An error of 1 everywhere is 48.13 dB."""

    def add(values: np.ndarray) -> None:
        values += 1

    done, results = bench("--least-psnr", limit, outputs=changed(data, tmp_path / "o", "plain.upscaled.f32", add))
    assert results["pictures"][0]["psnr"] == pytest.approx(48.1308, abs=1e-3)
    assert done.returncode == (limit > 48) == results["failures"]


def test_changed_masks_are_counted(bench: Any, data: Path, tmp_path: Path) -> None:
    def flip(values: np.ndarray) -> None:
        values[7:10] *= -1

    done, results = bench(outputs=changed(data, tmp_path / "o", "plain.margin_2.f32", flip))
    assert results["pictures"][0]["flipped"] == pytest.approx([0, 3 / (SIZE[0] * SIZE[1])])
    assert done.returncode == 1
    assert "plain: expected a share of changed mask pixels in margin_2 of at most 0.005" in done.stderr
    assert bench("--most-flips", "0.02", outputs=tmp_path / "o")[0].returncode == 0


def test_frames_of_bytes_are_measured_and_compared_with_the_rounded_output(
    bench: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For single pictures, with a library that converts them. One level may differ, two may not."""
    assert bench()[1]["pictures"][0]["frames_ms"] == [None] * 4
    library = ("--pixels", data / "smsr.onnx")  # the rehearsal reads it only
    done, results = bench(*library, "--batches", "1,2")
    assert done.returncode == 0, done.stderr
    assert [row["frames_ms"] for row in results["pictures"]] == [[3.0, 1.5, 2.0, 1.25]] * 2 + [[None] * 4] * 2
    assert "frames 3.000 ms, overlapped 1.500 ms" in done.stdout
    monkeypatch.setenv("SMSR_ENGINE_BENCH_PIXEL_ERROR", "1")
    assert bench(*library)[0].returncode == 0
    monkeypatch.setenv("SMSR_ENGINE_BENCH_PIXEL_ERROR", "2")
    done, results = bench(*library)
    assert done.returncode == 1 and results["failures"] == 2
    assert "plain: expected pixels within 1 of the rounded output, got a difference of 2; run gpu_p" in done.stderr
    assert bench("--pixels", data / "none.so")[0].returncode == 2


@pytest.mark.parametrize("file", ["plain.upscaled.f32", "graded.upscaled.f32", "plain.margin_1.f32"])
def test_an_output_that_is_no_number_fails(file: str, bench: Any, data: Path, tmp_path: Path) -> None:
    def spoil(values: np.ndarray) -> None:
        values[:30] = values[values.size // 2 + 9] = np.nan

    done, results = bench(outputs=changed(data, tmp_path / "o", file, spoil))
    assert done.returncode == 1 and results["failures"] == 1 and len(done.stderr.splitlines()) == 1
    if file.startswith("graded"):
        assert results["pictures"][1]["psnr"] == results["pictures"][1]["psnr_y"] == 0


def test_one_picture_s_failure_leaves_the_others(bench: Any, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "smsr", tmp_path / "o")
    (tmp_path / "o" / "plain.upscaled.f32").unlink()
    done, results = bench(outputs=tmp_path / "o")
    assert done.returncode == 1 and [row["name"] for row in results["pictures"]] == ["graded"]
    assert len(done.stderr.splitlines()) == 1 and "plain.upscaled.f32" in done.stderr


def test_plans_are_saved_and_loaded(program: Path, bench: Any, data: Path, tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    assert bench("--save-plan", plan)[0].returncode == 0
    words = ("--pictures", data, "--references", data / "smsr", "--load-plan")
    loaded = call(program, *words, plan)
    assert loaded.returncode == 0 and ": loaded, plan" in loaded.stdout
    for bad in (data / "smsr.onnx", tmp_path / "none.plan"):
        refused = call(program, *words, bad)
        assert refused.returncode == 2 and refused.stdout == "" and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --pictures FOLDER, got none"),
        (["--pictures", "x"], "expected either --onnx or --load-plan, got neither"),
        (["--pictures", "x", "--onnx", "m", "--load-plan", "p"], "got both"),
        (["--pictures", "/nowhere", "--onnx", "m"], "/nowhere/pictures.txt: expected a readable file, got none"),
        (["--speed", "9"], "expected a known one, got '--speed'"),
        (["--onnx"], "expected a value behind --onnx, got none"),
        (["--batches", "1,0"], "--batches: expected an integer within 1..64, got '0'"),
        (["--level", "6"], "--level: expected an integer within 0..5, got '6'"),
        (["--repeats", "3x"], "--repeats: expected an integer within 1..100000, got '3x'"),
        (["--least-psnr", "nan"], "--least-psnr: expected a number, 0 or more, got 'nan'"),
        (["--precision", "int8"], "--precision: expected fp16 or fp32, got 'int8'"),
    ],
)
def test_wrong_options_end_with_one_line(words: list[str], message: str, program: Path) -> None:
    done = call(program, *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("engine_bench: ") and message in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plain 13", "expected lines NAME HEIGHT WIDTH STEP, got 'plain 13'"),
        ("plain 0 18 1", "got 'plain 0 18 1'"),
        ("plain 13 18 1 1", "got 'plain 13 18 1 1'"),
        ("plain 13 19 1", "plain.image.u8: expected 741 bytes, got 702"),
        ("", "expected lines NAME"),
    ],
)
def test_damaged_folders_end_with_one_line(line: str, message: str, program: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "pictures.txt").write_text(f"{line}\n")
    done = call(program, "--pictures", tmp_path / "data", "--onnx", data / "smsr.onnx")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and message in done.stderr


# The script and its table.


@pytest.fixture
def folder(program: Path, data: Path, tmp_path: Path) -> Path:
    """As `prepare` leaves it, the plugin replaced by an empty file."""
    made = tmp_path / "folder"
    shutil.copytree(data, made / "data")
    (made / "bin").mkdir()
    shutil.copy(program, made / "bin" / program.name)
    (made / "bin" / "libsmsr_trt8.so").write_bytes(b"")
    return made


def rehearse(folder: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    return call(SCRIPT, "rehearse", folder, **environment)


def test_the_whole_measurement_can_be_rehearsed(folder: Path) -> None:
    done = rehearse(folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [
        *(f"== {model}-{kernel}" for model in OURS for kernel in ("gather", "staged")), "== dense", "== masked"
    ]  # fmt: skip
    results = folder / "results"
    names = {path.name for path in results.iterdir()}
    assert names == {
        *(f"{model}-{kernel}.json" for model in OURS for kernel in ("gather", "staged")),
        *(f"{model}.plan" for model in OURS),
        *(f"{model}.{kind}" for model in ("dense", "masked") for kind in ("json", "plan")),
        "table.md",
    }
    table = (results / "table.md").read_text()
    assert "| plain 18x13 | 4 |" in table and "1.00x" in table and table in done.stdout
    assert len(json.loads((results / "masked.json").read_text())["pictures"]) == 4


def test_kernels_are_measured_one_by_one_with_one_engine(folder: Path) -> None:
    done = rehearse(folder)
    assert done.returncode == 0, done.stderr
    built = {
        kernel: json.loads((folder / "results" / f"smsr-half-{kernel}.json").read_text())["build_seconds"]
        for kernel in ("gather", "staged")
    }
    assert built == {"gather": 0, "staged": None}
    table = (folder / "results" / "table.md").read_text()
    assert "| dense / smsr-branch-gather | masked / smsr-branch-gather | dense / smsr-branch-staged |" in table
    assert "| dense / smsr-staged | masked / smsr-staged |" in table


def test_kept_plans_are_loaded_and_others_built_again(folder: Path) -> None:
    assert rehearse(folder).returncode == 0
    (folder / "plans").mkdir()
    shutil.copy(folder / "results" / "dense.plan", folder / "plans")
    (folder / "plans" / "masked.plan").write_text("of another GPU")
    done = rehearse(folder)
    assert done.returncode == 0, done.stderr
    built = {
        name: json.loads((folder / "results" / f"{name}.json").read_text())["build_seconds"]
        for name in ("dense", "masked")
    }
    assert built == {"dense": None, "masked": 0} and "building it instead" in done.stdout


def test_what_there_is_no_time_for_is_skipped(folder: Path) -> None:
    done = rehearse(folder, SECONDS_LEFT=100, LEAST_SECONDS=101)
    assert "== smsr-staged: skipped, 100 s left" in done.stdout
    assert done.returncode == 1 and "bench_tensorrt.sh: failed: table" in done.stderr


def test_a_failing_engine_does_not_stop_the_others(folder: Path) -> None:
    (folder / "data" / "dense.onnx").unlink()
    done = rehearse(folder)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == "bench_tensorrt.sh: failed: dense"
    assert (folder / "results" / "masked.json").is_file()


def test_results_of_an_earlier_run_are_not_mixed_in(folder: Path) -> None:
    assert rehearse(folder).returncode == 0
    (folder / "data" / "dense.onnx").unlink()
    assert rehearse(folder).returncode == 1
    assert not (folder / "results" / "dense.json").exists()
    assert "| dense |" not in (folder / "results" / "table.md").read_text()


def test_data_of_another_release_is_refused(folder: Path) -> None:
    (folder / "data" / "models.txt").write_text("smsr plugin 65.0 -\n")
    done = rehearse(folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "models.txt: expected 5 words in each line, got 'smsr plugin 65.0 -'; run prepare again" in done.stderr


def test_tensorrt_travels_in_parts(tmp_path: Path) -> None:
    if shutil.which("xz") is None:
        missing("no xz: TensorRT was not packed (apt install xz-utils)")
    libraries, parts, store = tmp_path / "lib", tmp_path / "parts", tmp_path / "store"
    libraries.mkdir()
    content = {"libnvinfer.so.8": os.urandom(5000), "libnvonnxparser.so.8": b"parser"}
    for name, data in content.items():
        (libraries / name).write_bytes(data)
    assert call(SCRIPT, "pack", libraries, parts, PART_BYTES=2000).returncode == 0
    numbers = sorted(int(path.name) for path in parts.iterdir())
    assert numbers == [1, 2, 3]
    for number in numbers[:2]:
        assert call(SCRIPT, "keep", parts / str(number), store).returncode == 0
    unpack = f'source <(sed "/^case/,\\$d" {SCRIPT}); unpacked {store}'
    cut = call(Path("/bin/bash"), "-c", unpack)
    assert cut.returncode == 2 and "expected all parts that `pack` wrote, got others" in cut.stderr
    assert call(SCRIPT, "keep", parts / "3", store).returncode == 0
    done = call(Path("/bin/bash"), "-c", unpack)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in Path(done.stdout.strip()).iterdir()} == content


@pytest.mark.parametrize("words", [(), ("run",), ("fly", "x"), ("pack", "/nowhere", "y"), ("rehearse", "/nowhere")])
def test_wrong_use_of_the_script_measures_nothing(words: tuple[str, ...]) -> None:
    done = call(SCRIPT, *words)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def engine(graph: float | None, active: list[float], layers: list[tuple[str, float]]) -> str:
    row = {
        "name": "bird", "height": 144, "width": 140, "batch": 1, "ms": 3.0, "graph_ms": graph, "psnr": 71.25,
        "transfers_ms": [0.5, 0.125, 1.5, 0.375], "frames_ms": [3.25, 2.75, graph, None],
        "psnr_y": 38.5, "active": active, "flipped": [0.001 for _ in active],
    }  # fmt: skip
    return json.dumps({
        "gpu": "H200", "tensorrt": "8.6.0", "build_seconds": 49.2, "context_bytes": 1007 * 10**6, "failures": 0,
        "pictures": [row], "layers": [{"name": name, "us": us} for name, us in layers],
    })  # fmt: skip


def test_the_table_says_how_often_as_fast_as_the_rival(tmp_path: Path) -> None:
    ours, dense = tmp_path / "smsr.json", tmp_path / "dense.json"
    measured = [
        ("features_1/SparseMaskModule", 900.0), ("module_1.mask.full/Conv", 150.0), ("collect.0_1.own/Conv", 60.0),
        ("Reformatting CopyNode for Input Tensor 0 to features_1/SparseMaskModule", 30.0), ("tail/Conv", 7.0),
    ]  # fmt: skip
    ours.write_text(engine(2.0, [0.1234, 0.5], measured))
    dense.write_text(engine(None, [], [("module_1.layer_0/Conv + module_1.layer_0.relu/Relu", 146.0)]))
    done = call(Path(sys.executable), TABLE, dense, ours)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "| bird 140x144 | 1 | .12 .50 | 2.000 | 3.000 (no graph) | 1.50x |" in lines
    assert "| smsr | H200 | 8.6.0 | 49 | 1007 | 0 |" in lines
    assert "| smsr | 71.25 | 0.00100 | 38.5000 (1) |" in lines and "| dense | 71.25 | - | 38.5000 (1) |" in lines
    copies = "0.500 / 0.125 | {} | 1.500 / 0.375"
    assert f"| smsr, bird 140x144 | {copies.format('2.000')} | 4.000 | 3.250 / 2.000 | 2.750 / - |" in lines
    assert f"| dense, bird 140x144 | {copies.format('3.000')} | 5.000 | 3.250 / - | 2.750 / - |" in lines
    for line in (
        "| sparse mask modules | 900 | 0 |", "| mask branches | 150 | 0 |", "| running collect | 60 | 0 |",
        "| reformats | 30 | 0 |", "| dense modules | 0 | 146 |", "| others | 7 | 0 |", "| all | 1147 | 146 |",
    ):  # fmt: skip
        assert line in lines


def test_the_table_of_damaged_results_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "smsr.json").write_text("{")
    for words, code in (([tmp_path / "smsr.json"], 1), ([], 2)):
        done = call(Path(sys.executable), TABLE, *words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)


def test_the_layers_of_the_network_fall_into_groups(folded: FoldedNetwork) -> None:
    """By the names of the exported nodes, so that a renamed node does not end among the others."""
    specification = importlib.util.spec_from_file_location("table", TABLE)
    assert specification is not None and specification.loader is not None
    table = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(table)
    nodes = {node.name: 1.0 for node in build_trt_model(folded, "fp16").graph.node}
    sums = table.grouped([{"name": name, "us": us} for name, us in nodes.items()])
    modules = [name for name in nodes if contract.SPARSE_MASK_MODULE.name in name]
    assert sums["sparse mask modules"] == len(modules) == 2
    assert sums["bicubic"] == 2 and sums["running collect"] == 3
    branch = [name for name in nodes if name.startswith(("module_", "margin_")) and name not in modules]
    assert sums["mask branches"] == len(branch)
    assert "dense modules" not in sums
