"""Finds and reads pictures: folders, ZIP files, and low-resolution sides as the benchmarks lay them out."""

from __future__ import annotations

import functools
import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smsr import resize
from smsr_runtime.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""What data sets consist of; fewer formats than smsr-run reads."""
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """One high-resolution picture: file `member` of a folder or ZIP file; low: its low-resolution file, or None."""

    container: Path
    member: str
    low: Path | None = None

    @property
    def name(self) -> str:
        return Path(self.member).stem

    def __str__(self) -> str:
        return str(self.container / self.member)

    def data(self) -> bytes:
        """The file's bytes. Raises DataError."""
        try:
            if self.container.is_dir():
                return (self.container / self.member).read_bytes()
            return _zip_file(self.container, os.getpid()).read(self.member)
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            raise DataError(self, "a readable picture", _reason(error), "check the file") from error

    def high(self) -> Image:
        """(H, W, 3) RGB. Raises DataError."""
        return decode(self.data(), self)


def find(folder: Path, scale: int, low_images: str = "made") -> list[Source]:
    """Pictures, in order of names, of a ZIP file or a folder: directly inside it, or else inside its folder `HR`.

    low_images: "auto": with their files in `LR_bicubic/X<scale>` where the folder has one; "made": without.
    Raises DataError where there are no pictures, MismatchError where low-resolution files are missing.
    """
    if folder.is_dir():
        home, members = _members_of_folder(folder)
    elif folder.is_file():
        home, members = folder, _members_of_zip(folder)
    else:
        raise DataError(folder, "a folder of pictures, or a ZIP file", "nothing there", "check the path")
    if not members:
        raise DataError(folder, "pictures", "none", f"put {', '.join(SUFFIXES[:3])} ... files directly into it")
    low = low_folder(home, scale) if low_images == "auto" else None
    return [Source(home, member, _low_file(low, Path(member), scale) if low else None) for member in members]


def low_folder(home: Path, scale: int) -> Path | None:
    """The low-resolution pictures that belong to a folder of high-resolution ones, in Set5's or DIV2K's layout."""
    parents = [home / "LR_bicubic", home.parent / home.name.replace("_HR", "_LR_bicubic")]
    if home.name == "HR":
        parents.append(home.parent / "LR_bicubic")
    candidates = [parent / f"X{scale}" for parent in parents if parent != home]
    return next((folder for folder in candidates if folder.is_dir()), None)


def decode(data: bytes, where: object) -> Image:
    """(H, W, 3) RGB, 8 bits, turned upright by EXIF. Raises DataError for a broken, cut or enormous picture."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(io.BytesIO(data)) as picture:
                picture.load()
                upright = ImageOps.exif_transpose(picture)
                if upright.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips
                    gray = np.round(np.asarray(upright, np.float64) / 257.0).clip(0, 255).astype(np.uint8)
                    return np.repeat(gray[..., None], 3, axis=2)
                return np.asarray(upright.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Pillow.DecompressionBombError) as error:
        raise DataError(where, "a picture", f"a broken one ({_reason(error)})", "replace or remove it") from error


def read_pair(source: Source, scale: int) -> tuple[Image, Image]:
    """Low (H, W, 3) and high (sH, sW, 3); the low side is made by antialiased bicubic where there is no file."""
    high = source.high()
    if source.low is None:
        if min(high.shape[:2]) < scale:
            got = f"{high.shape[1]}x{high.shape[0]}"
            raise DataError(source, f"a picture of at least {scale}x{scale}", got, "take another")
        return resize.downscale(high, scale), resize.crop_to_multiple(high, scale)
    low = decode(_bytes(source.low), source.low)
    height, width = high.shape[0] // scale, high.shape[1] // scale
    if low.shape[:2] != (height, width):
        got = f"{low.shape[1]}x{low.shape[0]} for {source} of {high.shape[1]}x{high.shape[0]}"
        raise MismatchError(source.low, f"{width}x{height} (x{scale})", got, "make the low-resolution folder again")
    return low, high[: scale * height, : scale * width]


class MismatchError(DataError):
    """Low- and high-resolution pictures that do not belong together: never skipped, unlike other unusable pictures."""


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(file, "a readable picture", _reason(error), "check the file") from error


def _members_of_folder(folder: Path) -> tuple[Path, list[str]]:
    try:
        names = _pictures([file.name for file in folder.iterdir()])
    except OSError as error:
        raise DataError(folder, "a readable folder", _reason(error), "check its permissions") from error
    if not names and (folder / "HR").is_dir():
        return _members_of_folder(folder / "HR")
    return folder, names


def _members_of_zip(file: Path) -> list[str]:
    try:
        return _pictures(_zip_file(file, os.getpid()).namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            file, "a folder of pictures, or a ZIP file", _reason(error), "see smsr-train pack --help"
        ) from error


@functools.lru_cache(maxsize=8)
def _zip_file(file: Path, process: int) -> zipfile.ZipFile:
    """Opened once per process: a child process must not share its parent's file position."""
    del process
    return zipfile.ZipFile(file)


def _pictures(names: Sequence[str]) -> list[str]:
    return sorted(name for name in names if name.lower().endswith(SUFFIXES) and not Path(name).name.startswith("."))


def _low_file(folder: Path, member: Path, scale: int) -> Path:
    stems = (f"{member.stem}x{scale}", member.stem)
    for stem in stems:
        for suffix in dict.fromkeys((member.suffix, ".png")):
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    raise MismatchError(
        folder,
        f"{stems[0]}.png for {member.name}",
        "none of that name",
        "complete the folder, or use --low-images made",
    )


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":  # Pillow's text names an object in memory
        return "no format that is known"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
