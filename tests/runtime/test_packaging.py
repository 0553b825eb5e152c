"""The runtime stands alone: no torch, no onnx, nothing installed, optional packages optional."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.runtime.helpers import RUNTIME, assert_one_line_error, loaded, plain_python


def upscale(bundle: Path, folder: Path, without: tuple[str, ...] = (), name: str = "in.png") -> str:
    """Code that upscales folder/name with some packages not installed and prints the modules loaded."""
    block = "".join(f"sys.modules[{package!r}] = None; " for package in without)
    arguments = [str(bundle), str(folder / name), "-o", str(folder / "out.png")]
    main = f"from smsr_runtime.run.command import main; code = main({arguments!r})"
    return f"import sys; {block}{main}; print(*sys.modules); sys.exit(code)"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "in.png")
    return tmp_path


def test_running_a_picture_loads_neither_torch_nor_onnx(bundle: Path, picture: Path) -> None:
    done = plain_python(upscale(bundle, picture))
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    assert not {"torch", "onnx", "smsr", "smsr_export", "PIL", "av", "tqdm"} & loaded


def test_bare_copy_runs_from_anywhere(bundle: Path, picture: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a copy"
    shutil.copytree(RUNTIME, copy, ignore=shutil.ignore_patterns("__pycache__"))
    launch = f"import runpy, sys; sys.argv = ['run.py', {str(bundle)!r}, 'in.png', '-o', 'out.png']; "
    launch += f"sys.path.insert(0, {str(copy)!r}); runpy.run_path({str(copy / 'run.py')!r}, run_name='__main__')"
    done = plain_python(launch, runtime=copy, cwd=picture, extra={"SMSR_ORT_LIBRARY": "none"})
    assert done.returncode == 0, done.stderr
    assert loaded(picture / "out.png").size == (12, 8)


def test_plain_pictures_need_no_optional_package(bundle: Path, picture: Path) -> None:
    for extension in ("png", "jpg", "webp", "bmp", "ppm"):
        Image.new("RGB", (6, 4), (1, 2, 3)).save(picture / f"in.{extension}")
        code = upscale(bundle, picture, ("PIL", "av", "tqdm"), f"in.{extension}")
        assert plain_python(code, extra={"SMSR_ORT_LIBRARY": "none"}).returncode == 0
        (picture / "out.png").unlink()


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [("in.gif", "PIL", "pip install pillow"), ("cmyk.jpg", "PIL", "CMYK"), ("in.mp4", "av", "pip install av")],
)
def test_missing_package_says_what_to_install(bundle: Path, picture: Path, name: str, package: str, words: str) -> None:
    (picture / "in.mp4").write_bytes(b"x")
    Image.new("CMYK", (6, 4)).save(picture / "cmyk.jpg")
    Image.new("P", (6, 4)).save(picture / "in.gif")
    code = upscale(bundle, picture, (package,), name).replace("out.png", "out.mp4" if name == "in.mp4" else "out.png")
    done = plain_python(code, extra={"SMSR_ORT_LIBRARY": "none"})
    assert_one_line_error(done, 1, name, words, "not installed")


def test_truncated_jpeg_is_found_without_pillow(bundle: Path, picture: Path) -> None:
    Image.effect_noise((64, 64), 50).save(picture / "in.jpg")
    data = (picture / "in.jpg").read_bytes()
    (picture / "in.jpg").write_bytes(data[: len(data) // 2])
    done = plain_python(upscale(bundle, picture, ("PIL",), "in.jpg"), extra={"SMSR_ORT_LIBRARY": "none"})
    assert_one_line_error(done, 1, "in.jpg", "cut short")


def test_missing_onnxruntime_says_so(bundle: Path, picture: Path) -> None:
    done = plain_python(upscale(bundle, picture, ("onnxruntime",)), extra={"SMSR_ORT_LIBRARY": "none"})
    assert_one_line_error(done, 1, "pip install onnxruntime")


@pytest.mark.parametrize("library", ["", "none"])
def test_an_old_onnxruntime_is_one_line(bundle: Path, picture: Path, library: str) -> None:
    code = f"import onnxruntime; onnxruntime.__version__ = '1.16.3'; {upscale(bundle, picture)}"
    done = plain_python(code, extra={"SMSR_ORT_LIBRARY": library})
    assert_one_line_error(done, 1, "onnxruntime: expected 1.17 or newer, got 1.16.3; pip install --upgrade onnxruntime")
    assert not (picture / "out.png").exists()


@pytest.mark.parametrize("command", ["run", "doctor"])
@pytest.mark.parametrize(("module", "package"), [("numpy", "numpy"), ("cv2", "opencv-python-headless")])
def test_a_command_without_a_package_it_needs_says_what_to_install(command: str, module: str, package: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from smsr_runtime.start import {command} as go; sys.exit(go())"
    done = plain_python(code)
    expected = f"smsr-{command}: error: smsr-{command}: expected the package {module}, got not installed"
    assert (done.returncode, done.stderr) == (1, f"{expected}; pip install {package}\n")
