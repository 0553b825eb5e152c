"""What OpenCV decodes wrongly or not at all: CMYK, EXIF, colour profiles, TIFF, GIF. The only file to import Pillow."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

from smsr_runtime.errors import MissingPackageError, PictureError, SmsrError, reason
from smsr_runtime.media.codecs import exif, opencv
from smsr_runtime.media.codecs.header import Header
from smsr_runtime.media.picture import Picture, from_channels, oriented, to_channels

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "HEIF", "JXL")
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION, _IPTC = 0x0112, 0x0404
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "La": "LA", "RGBa": "RGBA", "YCbCr": "RGB", "RGBX": "RGB"}


def installed() -> bool:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        return False
    return True


def decode(data: bytes, where: str, check: Callable[[Header], None]) -> Picture:
    """First picture of the file, upright, as gray | gray, alpha | RGB | RGBA. Raises PictureError, what `check` raises.

    check: called with the size that Pillow reads from the header, before any pixel is decoded.
    """
    _add_plugin(data, where)
    with opened(data, where, _FORMATS) as image:
        check(Header(image.height, image.width))
        return _picture(image, data, where)


def image_module() -> Any:
    """PIL.Image."""
    from PIL import Image

    return Image


@contextlib.contextmanager
def opened(data: bytes, where: str, kinds: Sequence[str]) -> Iterator[Image.Image]:
    """The file as one of these kinds; what Pillow raises for it, now or later, becomes PictureError."""
    from PIL import Image

    with warnings.catch_warnings(), _unlimited(), _damaged(where):
        warnings.simplefilter("ignore")  # on odd metadata
        formats = [name for name in kinds if name in Image.registered_extensions().values()]
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield image


def _add_plugin(data: bytes, where: str) -> None:
    """What Pillow needs beside itself for this file. Raises MissingPackageError."""
    from PIL import Image

    kind, package = "", ""
    try:
        if data[:2] in _JXL or data[:12] in _JXL:
            kind, package = "JPEG XL", "pillow-jxl-plugin"
            import pillow_jxl  # noqa: F401
        elif data[4:8] == b"ftyp" and (data[8:12] in _HEIC_BRANDS and b"avif" not in data[16:64]):
            kind, package = "HEIC", "pillow-heif"
            import pillow_heif

            pillow_heif.register_heif_opener(thumbnails=False)
        elif data[4:8] == b"ftyp" and "AVIF" not in Image.registered_extensions().values():
            raise MissingPackageError(where, "Pillow 11.3 or newer, to read AVIF", "an older one", "update pillow")
    except ModuleNotFoundError as error:
        expected = f"{package}, to read {kind}"
        raise MissingPackageError(where, expected, "it is not installed", f"pip install {package}") from error


@contextlib.contextmanager
def _damaged(where: str) -> Iterator[None]:
    """Whatever Pillow raises as PictureError: for damaged files that is nearly every kind of exception."""
    try:
        yield
    except (SmsrError, MemoryError):
        raise
    except Exception as error:
        raise opencv.damaged(where, _said(error)) from error


@contextlib.contextmanager
def _unlimited() -> Iterator[None]:
    """Pillow's own limit of 179 million pixels is off: a picture's size is compared with this machine's memory."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def encode(picture: Picture, kind: str, where: str, **options: Any) -> bytes:
    """8-bit `picture` as Pillow's format `kind` ("JPEG" or "WEBP") with its profile, resolution and EXIF data."""
    from PIL import Image

    extra = dict(options)
    if picture.icc:
        extra["icc_profile"] = picture.icc
    if picture.dpi and kind == "JPEG":
        extra["dpi"] = tuple(round(value) for value in picture.dpi)
    if picture.exif:
        extra["exif"] = exif.with_prefix(picture)
    stream = io.BytesIO()
    Image.fromarray(to_channels(picture)).save(stream, kind, **extra)
    return stream.getvalue()


def _said(error: BaseException) -> str:
    text = reason(error)
    return "no picture that can be recognised" if "cannot identify" in text else text


def _picture(image: Image.Image, data: bytes, where: str) -> Picture:
    image.load()
    icc = image.info.get("icc_profile") or None
    upright, notes = _standard_mode(image, icc, where)
    if getattr(image, "n_frames", 1) > 1:
        notes += (f"{getattr(image, 'n_frames', 1)} frames or pages: only the first is used",)
    keep = None if image.mode == "CMYK" else icc
    array = oriented(np.asarray(upright), _orientation(image))
    block = exif.from_tiff(data) if image.format == "TIFF" else exif.usable(image.info.get("exif"))
    if image.format != "TIFF" and image.info.get("exif") and not block:
        notes += ("its EXIF data is damaged: left out",)
    facts = {"exif": block, "metadata_left_out": left_out(image.info), "notes": list(notes)}
    return from_channels(array, where, icc=keep, dpi=_dpi(image), **facts)


def left_out(info: dict[Any, Any]) -> tuple[str, ...]:
    """Names of metadata that results do not keep."""
    present = {
        "XMP data": "xmp" in info or "XML:com.adobe.xmp" in info,
        "IPTC data": _IPTC in (info.get("photoshop") or {}),
        "a comment": "comment" in info,
    }
    return tuple(name for name, there in present.items() if there)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8, that of XMP where there is no EXIF; 1 for what decoders turn themselves, as TIFF."""
    if image.format == "JXL":  # its decoder turns it, but leaves EXIF data as it is
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as above; what is wrong with a picture's EXIF data says nothing about its pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _standard_mode(image: Image.Image, icc: bytes | None, where: str) -> tuple[Image.Image, tuple[str, ...]]:
    """The image as L, LA, RGB, RGBA or 16-bit gray, and what was done to it."""
    if image.mode == "CMYK":
        return _from_cmyk(image, icc)
    if image.mode in ("P", "PA"):
        transparent = image.mode == "PA" or "transparency" in image.info
        return image.convert("RGBA" if transparent else "RGB"), ()
    if image.mode in _AS_THEY_ARE and "transparency" in image.info:
        return image.convert("RGBA"), ()
    if image.mode in _AS_THEY_ARE or image.mode.startswith("I;16"):
        return image, ()
    if image.mode in _CONVERTED:
        return image.convert(_CONVERTED[image.mode]), ()
    todo = "convert it to RGB with 8 or 16 bits per channel first"
    raise PictureError(where, "gray, RGB, CMYK or palette colours", f"Pillow's mode {image.mode}", todo)


def _from_cmyk(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """CMYK to sRGB: through the profile where there is a usable one, else by plain subtraction."""
    from PIL import ImageCms

    if not icc:
        return image.convert("RGB"), ("CMYK without a colour profile: converted to RGB by the plain formula",)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        return image.convert("RGB"), (f"CMYK profile not usable ({reason(error)}): converted by the plain formula",)
    assert converted is not None
    return converted, ("CMYK: converted to sRGB through its colour profile",)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    try:
        return (float(dpi[0]), float(dpi[1])) if dpi else None
    except (TypeError, ValueError, ZeroDivisionError):  # a quotient of 0 by 0
        return math.nan, math.nan
