"""What one request may ask for, and the answers that say no."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from smsr_runtime.errors import InputError, MemoryLimitError, MissingPackageError, PictureError, SmsrError, UsageError
from smsr_runtime.resources import parse_memory

_MEGA = 1_000_000


@dataclass(frozen=True)
class Limits:
    """upload: bytes of a file. pixels: of a picture. seconds: for one picture, and for its upload.

    waiting: requests that may wait while one is computed.
    """

    upload: int = 32 * 2**20
    pixels: int = 8 * _MEGA
    seconds: float = 60.0
    waiting: int = 4

    @classmethod
    def parse(cls, upload: str | None, megapixels: float | None, seconds: float | None, waiting: int | None) -> Limits:
        """As the command line states them; None: the default. Raises UsageError."""
        for name, value in (("--max-megapixels", megapixels), ("--time-limit", seconds)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(name, "a number above 0", f"{value:g}", "leave it out for the default")
        if waiting is not None and waiting < 0:
            raise UsageError("--max-waiting", "0 or more", str(waiting), f"{cls.waiting} is the default")
        return cls(
            cls.upload if upload is None else parse_memory(upload, "--max-upload"),
            cls.pixels if megapixels is None else max(1, int(megapixels * _MEGA)),
            cls.seconds if seconds is None else seconds,
            cls.waiting if waiting is None else waiting,
        )

    def as_json(self) -> dict[str, Any]:
        return {"upload": self.upload, "pixels": self.pixels, "seconds": self.seconds, "waiting": self.waiting}


class TooLargeError(InputError):
    """Answered with 413."""


class TooSlowError(SmsrError):
    """The upload took longer than allowed: 408."""


class UnavailableError(SmsrError):
    """Busy, or the picture took longer than allowed: 503."""


class ForeignError(SmsrError):
    """Asked by another site's page, or under a name that is not this machine's: 403."""


_CODES: tuple[tuple[type[SmsrError], int], ...] = (
    (TooLargeError, 413),
    (MemoryLimitError, 413),
    (TooSlowError, 408),
    (UnavailableError, 503),
    (ForeignError, 403),
    (PictureError, 415),
    (MissingPackageError, 415),
    (InputError, 413),
    (UsageError, 400),
)
"""The first that fits; InputError: a size that the backend does not take."""


def http_code(error: SmsrError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


def upload_too_large(limits: Limits, size: str) -> TooLargeError:
    expected = f"a file of at most {limits.upload} bytes"
    return TooLargeError("upload", expected, size, "use smsr-run itself, or start it with a larger --max-upload")


def check_pixels(limits: Limits, where: str, height: int, width: int) -> None:
    """Raises TooLargeError."""
    if height * width > limits.pixels:
        todo = "use smsr-run itself, or start it with a larger --max-megapixels"
        got = f"{width}x{height} = {height * width}"
        raise TooLargeError(where, f"at most {limits.pixels} pixels", got, todo)
