"""The command: exit codes, one-line errors, what it prints, folders, patterns, names."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smsr_runtime.run.plan import natural_order
from tests.helpers import heed_signals
from tests.runtime.helpers import RUNTIME, Run, assert_one_line_error, loaded, need, opened, run_limited


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write(tmp_path / "in.png")


def write(path: Path, size: tuple[int, int] = (6, 4), level: int = 90) -> Path:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two names that differ in extension only, numbers, one broken file, one that is no picture, a subfolder."""
    place = tmp_path / "in"
    (place / "sub").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "shot 10.png", "shot 2.png", "grün.png"):
        write(place / name)
    (place / "broken.png").write_bytes((place / "a.png").read_bytes()[:-20])
    (place / "notes.txt").write_text("x")
    return place


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no INPUT"),
        (["in.png"], "no -o"),
        (["-o", "out.png"], "no INPUT"),
        (["in.png", "-o", "out.xyz"], ".xyz"),
        (["in.png", "-o", "out"], "extension"),
        (["in.png", "-o", "out.png", "--format", "jpg"], "agree"),
        (["in.png", "-o", "in.png", "--force"], "same file"),
        (["in.png", "-o", "no/out.png"], "existing folder"),
        (["none.png", "-o", "out.png"], "none.png"),
        (["*.xyz", "-o", "out"], "matching the pattern"),
        (["empty", "-o", "out"], "at least one picture"),
        (["in.png", "in2.png", "-o", "out.png"], "quotes"),
        (["in.png", "out.png"], "write -o out.png"),
        (["--", "in.png", "-o", "out.png"], "3 of them"),
        (["--", "in.png", "--force"], "write -o --force"),
        (["-dash.png", "-o", "out.png"], "behind --"),
        (["in.png", "-o", "out.png", "--thread", "2"], "--thread"),
        (["in.png", "-o", "out.png", "--threads", "0"], "1 or more"),
        (["in.png", "-o", "out.png", "--theta", "nan"], "finite"),
        (["in.png", "-o", "out.png", "--max-shape", "9x9"], "--rebuild"),
        (["--rebuild", "--max-shape", "9"], "HEIGHTxWIDTH"),
        (["--rebuild", "--min-shape", "0x9"], "HEIGHTxWIDTH"),
        (["--rebuild", "--min-shape", "9x10", "--max-shape", "10x9"], "at most --max-shape 10x9"),
        (["--rebuild", "--opt-shape", "99x9", "--max-shape", "10x9"], "at most --max-shape 10x9"),
        (["--rebuild", "--workspace", "0"], "1 or more"),
        (["--rebuild", "--backend", "ort"], "leave one of the two out"),
        (["in.png", "-o", "out.png", "--backend", "cuda"], "cuda"),
        (["", "-o", "out.png"], "empty"),
        (["empty", "-o", "empty"], "none"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, picture: Path, arguments: list[str], words: str) -> None:
    (picture.parent / "empty").mkdir()
    before = sorted(picture.parent.rglob("*"))
    assert_one_line_error(run(*arguments, cwd=picture.parent), 2, words)
    assert sorted(picture.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "line",
    [
        "-o OUT BUNDLE IN",
        "BUNDLE -o OUT IN",
        "BUNDLE IN -o OUT",
        "BUNDLE --threads 1 IN -o OUT",
        "--json BUNDLE --output=OUT --theta -1 IN --force",
        "BUNDLE -o OUT -- IN",
        "-o OUT -- BUNDLE IN",
    ],
)
def test_options_stand_anywhere(bundle: Path, tmp_path: Path, line: str) -> None:
    """A name that begins with a dash comes behind `--`."""
    source = write(tmp_path / ("-dash.png" if "--" in line.split() else "in.png"))
    command = line.replace("OUT", "out.png").replace("IN", source.name).split()
    command[command.index("BUNDLE")] = str(bundle)
    run_py = [sys.executable, str(RUNTIME / "run.py")]
    done = subprocess.run([*run_py, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert opened(tmp_path / "out.png").size == (12, 8)


def test_no_arguments_at_all_is_one_line() -> None:
    done = subprocess.run([sys.executable, RUNTIME / "run.py"], capture_output=True, text=True, check=False)
    assert_one_line_error(done, 2, "no BUNDLE")


@pytest.mark.parametrize("option", [["--backend", "trt"], ["--rebuild"]], ids=str)
def test_tensorrt_for_an_onnx_only_bundle_is_wrong_usage(run: Run, picture: Path, option: list[str]) -> None:
    before = sorted(picture.parent.rglob("*"))
    done = run(picture, "-o", picture.parent / "out.png", *option)
    assert_one_line_error(done, 2, "model.trt.onnx", "ONNX Runtime only", "--target trt")
    assert sorted(picture.parent.rglob("*")) == before


def test_picture_is_written_and_described(run: Run, picture: Path, tmp_path: Path) -> None:
    done = run(picture, "-o", tmp_path / "out.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert "out.png  12x8" in done.stdout
    assert "function body" in done.stdout
    assert np.asarray(opened(tmp_path / "out.png")).tolist() == np.full((8, 12, 3), 90).tolist()


def test_existing_output_needs_force(run: Run, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    out.write_text("mine")
    assert_one_line_error(run(picture, "-o", out), 2, "--force")
    assert out.read_text() == "mine"
    assert run(picture, "-o", out, "--force").returncode == 0
    assert loaded(out).size == (12, 8)


def test_result_has_the_usual_permissions(run: Run, picture: Path, tmp_path: Path) -> None:
    run(picture, "-o", tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == picture.stat().st_mode & 0o777


def test_format_names_the_file_where_it_has_no_extension(run: Run, picture: Path, tmp_path: Path) -> None:
    assert run(picture, "-o", tmp_path / "out", "--format", "webp").returncode == 0
    assert loaded(tmp_path / "out.webp").format == "WEBP"


def test_output_folder_takes_one_picture(run: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run(picture, "-o", tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "in.png").exists()


def test_quiet_prints_nothing(run: Run, picture: Path, tmp_path: Path) -> None:
    done = run(picture, "-o", tmp_path / "out.png", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_negative_theta_is_a_number(run: Run, picture: Path, tmp_path: Path) -> None:
    done = run(picture, "-o", tmp_path / "out.png", "--theta", "-201", "--json")
    assert json.loads(done.stdout)["files"][0]["active"] == [1.0, 1.0]


@pytest.mark.parametrize("locked", ["in", "in/sub"])
def test_unreadable_folder_is_one_line(bundle: Path, folder: Path, tmp_path: Path, locked: str) -> None:
    """root, who may read everything, first gives up its capabilities."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    need(not drop or shutil.which("setpriv") is not None, "setpriv (util-linux)")
    (tmp_path / locked).chmod(0)
    source = folder if locked == "in" else folder / "sub" / "a.png"
    command: list[str | Path] = [*drop, sys.executable, RUNTIME / "run.py", bundle, source, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / locked).chmod(0o700)
    assert_one_line_error(done, 2, "permission denied" if locked == "in" else "check the name")


def test_progress_bar_shows_on_a_terminal_only(run: Run, bundle: Path, folder: Path, tmp_path: Path) -> None:
    """A pseudo-terminal as stderr gets the bar; `run` reads a pipe and gets none."""
    inner, outer = os.openpty()
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    command: list[str | Path] = [sys.executable, RUNTIME / "run.py", bundle, folder, "-o", tmp_path / "out"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=outer, check=False)
    assert b"6/6" in os.read(inner, 100_000)
    assert "6/6" not in run(folder, "-o", tmp_path / "out", "--force").stderr


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path / "none.png", "-o", tmp_path / "out.png", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_names_with_blanks_and_other_scripts_work(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "ein Bild – 写真.png")
    assert run(source, "-o", tmp_path / "größer 大.png").returncode == 0
    assert (tmp_path / "größer 大.png").exists()


def test_folder_goes_on_after_a_bad_picture(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run(folder, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "broken.png" in done.stderr
    assert done.stderr.strip().endswith("5 of 6 files done, 1 failed, 1 other files skipped")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.png.png", "a.jpg.png", "shot 2.png", "shot 10.png", "grün.png"}


def test_folder_format_is_obeyed(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").unlink()
    assert run(folder, "-o", tmp_path / "out", "--format", "jpg").returncode == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".jpg"}


def test_pattern_takes_what_matches(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run(folder / "shot*.png", "-o", tmp_path / "out").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"shot 2.png", "shot 10.png"}


def test_same_names_from_two_folders_are_both_kept(run: Run, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.png")
    assert run(tmp_path / "*" / "a.png", "-o", tmp_path / "out").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png.png", "a.png-2.png"}


def test_output_inside_the_input_folder_is_refused(run: Run, folder: Path) -> None:
    for output in (folder, folder / "sub", folder / "new"):
        assert_one_line_error(run(folder, "-o", output, "--force"), 2, "outside the input folder")


def test_one_existing_result_refuses_the_folder_before_any_work(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shot 2.png").write_text("mine")
    assert_one_line_error(run(folder, "-o", tmp_path / "out"), 2, "shot 2.png", "--force")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["shot 2.png"]


def test_natural_order_puts_2_before_10() -> None:
    names = ["b", "a10", "a2", "A1", "10", "9"]
    assert [path.name for path in sorted(map(Path, names), key=natural_order)] == ["9", "10", "A1", "a2", "a10", "b"]


def test_json_is_one_document_with_every_result(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run(folder, "-o", tmp_path / "out", "--json", "--show-masks")
    document = json.loads(done.stdout)
    assert done.returncode == document["exit_code"] == 1
    about = {key: document[key] for key in ("format", "format_version", "name", "scale", "theta", "backend", "path")}
    assert about == {
        "format": "smsr-run",
        "format_version": 1,
        "name": "tiny",
        "scale": 2,
        "theta": 0.0,
        "backend": "ort",
        "path": "function body",
    }
    assert (document["failed"], document["skipped"], len(document["files"])) == (1, 1, 6)
    bad = next(record for record in document["files"] if record["error"])
    assert set(bad["error"]) == {"kind", "message", "where", "expected", "got", "todo"}
    good = document["files"][0]
    assert good["input_size"] == {"width": 6, "height": 4}
    assert good["output_size"] == {"width": 12, "height": 8}
    assert good["active"] == [0.0, 0.0]
    assert Path(good["output"]).exists()
    assert Path(good["masks"]).exists()


def test_json_tells_an_early_error_too(run: Run, tmp_path: Path) -> None:
    document = json.loads(run(tmp_path / "none.png", "-o", tmp_path / "out.png", "--json").stdout)
    assert document["exit_code"] == 2
    assert document["error"]["kind"] == "UsageError"


def test_masks_picture_shows_what_was_active(run: Run, tmp_path: Path) -> None:
    left_active = np.full((50, 300, 3), 90, np.uint8)
    left_active[:, :150] = 150
    Image.fromarray(left_active).save(tmp_path / "in.png")
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--show-masks").returncode == 0
    mosaic = np.asarray(opened(tmp_path / "out.masks.png")).astype(int)
    tinted = (mosaic[:, :, 0] - mosaic[:, :, 2]) > 50
    assert tinted[60, 20]
    assert not tinted[60, 200]
    assert not tinted[:, 304:].any()  # module 2: no margin above 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_smallest_pictures_work_with_masks(run: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    source = write(tmp_path / "in.png", size)
    assert run(source, "-o", tmp_path / "out.png", "--show-masks").returncode == 0
    assert loaded(tmp_path / "out.png").size == (2 * size[0], 2 * size[1])


def shell(
    bundle: Path, source: Path, output: Path, redirection: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """The command with `redirection`, as a shell user writes it."""
    words = [sys.executable, RUNTIME / "run.py", bundle, source, "-o", output, *options]
    line = f"set -o pipefail; {shlex.join(map(str, words))} {redirection}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("redirection", ["| head -n 1", "| true", ">&-", "2>/dev/full", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_stream_that_nobody_reads_does_not_stop_a_folder(
    bundle: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redirection: str, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    (folder / "broken.png").unlink()
    for number in range(20):
        write(folder / f"more {number}.png")
    done = shell(bundle, folder, tmp_path / "out", redirection)
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 25


@pytest.mark.parametrize("options", [[], ["--json"], ["--selftest"]], ids=str)
def test_a_full_stdout_is_said_in_one_line(bundle: Path, folder: Path, tmp_path: Path, options: list[str]) -> None:
    """At the end of the work; with --json and --selftest too, which print more than lines of results."""
    (folder / "broken.png").unlink()
    done = shell(bundle, folder, tmp_path / "out", "> /dev/full", *options)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 1
    assert len(errors) == 1
    assert "standard output" in errors[0]
    assert "no space left" in errors[0]
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_full_disk_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (150, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    out.write_text("before")
    done = run_limited(20_000, bundle, tmp_path / "in.png", "-o", out, "--force")
    assert_one_line_error(done, 1, "out.png", "file too large", "free some space")
    assert out.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "out.png"}


def test_read_only_place_is_one_line(run: Run, picture: Path) -> None:
    assert_one_line_error(run(picture, "-o", "/proc/out.png"), 1, "/proc/out.png", "to write the result")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_leaves_nothing_half_written(
    bundle: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "in").mkdir()
    first = write(tmp_path / "in" / "0.png", (500, 500))
    for name in range(1, 300):
        os.link(first, tmp_path / "in" / f"{name}.png")
    command: list[str | Path] = [sys.executable, RUNTIME / "run.py", bundle, tmp_path / "in", "-o", tmp_path / "out"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("[0-9]*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in text
    results = list((tmp_path / "out").iterdir())
    assert 0 < len(results) < 300
    for path in results:
        assert loaded(path).size == (1000, 1000)
