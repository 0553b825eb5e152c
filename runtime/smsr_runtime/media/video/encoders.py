"""Encoders of FFmpeg: which one, at which quality, in which pixel format; each has its own names for these."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

import cv2

from smsr_runtime.errors import UsageError
from smsr_runtime.media.video.colour import Look, has_alpha
from smsr_runtime.media.video.hdr import Hdr
from smsr_runtime.media.video.source import pyav

_DEFAULT, _BY_CONTAINER = "libx264", {"webm": "libvpx-vp9", "mpeg": "mpeg2video"}
"""The encoder by the container's name; WebM and MPEG program streams do not hold H.264."""


@dataclass(frozen=True)
class Encoder:
    """quality: the option for constant quality, "" for none; crf: its default, highest: its end; fixed: other options.

    parameters: the option that takes the encoder library's own parameters. whole_frames: times must be multiples of
    the frame rate. formats: a pattern of the pixel formats that it really takes.
    """

    quality: str = ""
    crf: int = 0
    highest: int = 0
    fixed: dict[str, str] = field(default_factory=dict)
    parameters: str = ""
    whole_frames: bool = False
    formats: str = r"yuva?4(20|22|44)p(1[02]le)?|nv12|p010le|argb|rgba|rgb24|rgba64[bl]e|rgb48[bl]e"

    def options(self, name: str, crf: int | None, hdr: Hdr | None, *, alpha: bool) -> dict[str, str]:
        """crf: None for the default. Raises UsageError for one that the encoder does not take."""
        options = dict(self.fixed)
        options["flags"] = f"{options.get('flags', '')}+frame_duration"  # packets last as long as their frames
        if self.quality:
            value = self.crf if crf is None else crf
            if value > self.highest:
                raise UsageError("--crf", f"0 to {self.highest} for {name}", str(value), "lower is better")
            options[self.quality] = str(value)
        if alpha and name.startswith("libvpx"):
            options["auto-alt-ref"] = "0"  # libvpx refuses it for transparent frames
        parameters = _fixed_parameters(name)
        parameters += hdr.parameters(name) if hdr else []
        if parameters:
            options[self.parameters] = ":".join(parameters)
        return options


def _fixed_parameters(name: str) -> list[str]:
    """libx265 has a log of its own, on stderr; libx264 must give the same bytes for the same frames."""
    if name == "libx265":
        return ["log-level=none"]
    return [f"asm={_WITHOUT_AVX512}"] if name.startswith("libx264") and cv2.checkHardwareSupport(_AVX512F) else []


_AVX512F = 13
"""OpenCV's number of that instruction set."""
_WITHOUT_AVX512 = "MMX2,SSE2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI1,BMI2,AVX2"
"""x264's AVX-512 code for its macroblock tree reads memory that nobody wrote, unless the width in macroblocks is a
multiple of 8: the same frames give other bytes from run to run. What it has for older CPUs does not."""
_QSCALE = {"flags": "+qscale", "global_quality": "236"}
"""Constant quantizer 2 of 31 (in FFmpeg's unit, 118), the finest that these encoders are made for."""
_VPX = {"b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "1"}
_VPX_FORMATS = r"yuva420p|yuv4(20|22|44)p(1[02]le)?"
"""libvpx encodes transparency as a second 4:2:0 video."""
_NVENC = Encoder("cq", 18, 51, {"preset": "p5", "rc": "vbr", "b": "0"})
_ENCODERS = {
    "libx264": Encoder("crf", 16, 51, {"preset": "medium"}, "x264-params"),
    "libx264rgb": Encoder("crf", 16, 51, {"preset": "medium"}, "x264-params"),
    "libx265": Encoder("crf", 15, 51, {"preset": "medium"}, "x265-params"),
    "libsvtav1": Encoder("crf", 12, 63, {"preset": "6"}, "svtav1-params"),
    "libaom-av1": Encoder("crf", 12, 63, {"b": "0", "cpu-used": "6", "row-mt": "1"}),
    "libvpx-vp9": Encoder("crf", 12, 63, _VPX, formats=_VPX_FORMATS),
    "libvpx": Encoder("crf", 6, 63, {"b": "100M", "deadline": "good", "cpu-used": "2"}, formats=_VPX_FORMATS),
    "h264_nvenc": _NVENC,
    "hevc_nvenc": _NVENC,
    "av1_nvenc": _NVENC,
    "mpeg4": Encoder(fixed=_QSCALE, whole_frames=True),
    "mpeg2video": Encoder(fixed=_QSCALE, whole_frames=True),
    "mpeg1video": Encoder(fixed=_QSCALE, whole_frames=True),
    "mjpeg": Encoder(fixed=_QSCALE, formats=r"yuvj4(20|22|44)p"),
}
"""Defaults: about 50 dB on 40 frames of film at 640x272, as libx264 at 16; NVENC's not measured."""


def encoder(name: str) -> Encoder:
    """What is known of an encoder; others run at their own default quality."""
    return _ENCODERS.get(name, Encoder())


def default_codec(container: str) -> str:
    """container: its name in FFmpeg, such as "matroska"."""
    return _BY_CONTAINER.get(container, _DEFAULT)


def silence(name: str) -> None:
    """SVT-AV1 has a log of its own, on stderr, which its environment variable ends."""
    if name == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "0")


def holds_alpha(name: str) -> bool:
    """Whether an encoder takes transparent frames."""
    return any(has_alpha(kind) for kind in _formats(name))


def pixel_format(name: str, look: Look, height: int, width: int, *, alpha: bool) -> str:
    """The encoder's format that loses least of the source's depth and chroma; 4:2:0 needs even sizes."""
    chroma = "444" if (width % 2 or height % 2) and look.chroma != "444" else look.chroma
    formats = _formats(name)
    if not formats:
        return f"yuv{'a' if alpha else ''}{chroma}p{'10le' if look.bits > 8 else ''}"
    return str(min(formats, key=lambda kind: _loss(kind, chroma, look, alpha=alpha)).name)


def losses(name: str, look: Look, written: str) -> list[str]:
    """What a pixel format does not hold of the source, in words."""
    kind = pyav().VideoFormat(written, 16, 16)
    lost = []
    if kind.components[0].bits < min(look.bits, 16):
        lost.append(f"{look.bits} bits per sample ({name} has {kind.components[0].bits})")
    if not kind.is_rgb and _subsampling(kind) > int(look.chroma == "422") + 2 * int(look.chroma == "420"):
        lost.append(f"{'4:4:4' if look.chroma == '444' else '4:2:2'} chroma ({name} has less)")
    return lost


def _formats(name: str) -> list[Any]:
    usable = re.compile(encoder(name).formats)
    names = [kind.name for kind in pyav().codec.Codec(name, "w").video_formats or []]
    return [pyav().VideoFormat(kind, 16, 16) for kind in names if usable.fullmatch(kind)]


def _loss(kind: Any, chroma: str, look: Look, *, alpha: bool) -> tuple[Any, ...]:
    """Sorts formats: what is lost comes first, then what is stored in vain."""
    kept, wanted = 2 - _subsampling(kind), {"444": 2, "422": 1, "420": 0}[chroma]
    bits = kind.components[0].bits
    lost = (alpha and not has_alpha(kind), max(0, wanted - kept), max(0, look.bits - bits))
    return (*lost, kind.is_rgb, has_alpha(kind) and not alpha, kept - wanted, bits - look.bits)


def _subsampling(kind: Any) -> int:
    """0 for 4:4:4 and RGB, 1 for 4:2:2, 2 for 4:2:0."""
    return int(kind.chroma_width(16) < 16) + int(kind.chroma_height(16) < 16)
