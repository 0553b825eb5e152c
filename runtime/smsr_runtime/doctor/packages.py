"""Python packages: for media, and for what smsr does beside running bundles."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re

from smsr_runtime.console import missing_package
from smsr_runtime.doctor.finding import BENCH, EXPORT, TRAIN, Finding, examined, fact

_MEDIA = {
    "pillow": "PIL", "av": "av", "tifffile": "tifffile", "pillow-heif": "pillow_heif",
    "pillow-jxl-plugin": "pillow_jxl", "tqdm": "tqdm",
}  # fmt: skip
_FOR = {
    "pillow": "ICC profiles, EXIF data, CMYK, GIF, AVIF", "av": "videos", "tifffile": "16-bit TIFF",
    "pillow-heif": "HEIC", "pillow-jxl-plugin": "JPEG XL", "tqdm": "progress bars",
}  # fmt: skip
_EXTRA = {"av": "video", "tqdm": "video"}
_MAKING = {
    "torch": (EXPORT, TRAIN, BENCH), "onnx": (EXPORT, BENCH), "onnx_graphsurgeon": (EXPORT, BENCH),
    "safetensors": (EXPORT, TRAIN, BENCH), "tabulate": (EXPORT, BENCH), "matplotlib": (TRAIN, BENCH),
    "openvino": (BENCH,),
}  # fmt: skip


def findings() -> list[Finding]:
    return [*_opencv(), *map(_media, _MEDIA), *map(_making, _MAKING), _distribution()]


def _opencv() -> list[Finding]:
    import cv2

    text = cv2.getBuildInformation()
    found = re.search(r"GStreamer:\s+(\S.*)", text)
    gstreamer = found.group(1).strip() if found else "NO"
    windows = re.search(r"GUI:\s+(\S+)", text)
    cameras = "csi:// cameras need an OpenCV built with it (on a Jetson: python3-opencv from JetPack)"
    return [
        fact("OpenCV", cv2.__version__),
        Finding("GStreamer in OpenCV", not gstreamer.startswith("NO"), gstreamer, (), cameras),
        fact("windows in OpenCV", windows.group(1) if windows else "none"),
    ]


def _media(package: str) -> Finding:
    remedy = f"pip install 'smsr-runtime[{_EXTRA.get(package, 'pictures')}]'"
    found = examined(package, (), remedy, lambda: _version(package, _MEDIA[package]))
    return found if found.ok else Finding(package, False, f"{found.value}: no {_FOR[package]}", (), remedy)


def _making(module: str) -> Finding:
    def look() -> str:
        if importlib.util.find_spec(module) is None:
            raise missing_package("Python", module)
        return _installed(module)

    return examined(module, _MAKING[module], "", look)


def _distribution() -> Finding:
    """Whether the distribution that makes bundles is here, or the runtime alone."""
    whole = importlib.util.find_spec("smsr_export") is not None
    remedy = "pip install 'smsr[export]'"
    return Finding("smsr", whole, "here" if whole else "not installed", (EXPORT, TRAIN, BENCH), remedy)


def _version(package: str, module: str) -> str:
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError("not installed")
    importlib.import_module(module)  # a package that is there may still not load
    return _installed(package)


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
