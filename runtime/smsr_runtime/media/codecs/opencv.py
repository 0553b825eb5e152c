"""Plain decoding and encoding through OpenCV, in RGB order. The only file to call its codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import cv2
import numpy as np

from smsr_runtime.errors import OutputError, PictureError, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray


if hasattr(cv2.utils, "logging"):  # some builds have none
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what matters is raised or returned


def decode(data: bytes, where: str, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """(H, W) or (H, W, 3 | 4) RGB(A) of whatever type the file has. Raises PictureError."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise damaged(where, reason(error)) from error
    if array is None:
        raise damaged(where, "pixels OpenCV cannot decode")
    return _swapped(array)


def encode(extension: str, array: NDArray[Any], where: str, options: Sequence[int] = ()) -> bytes:
    """`array` as (H, W) or (H, W, 3 | 4) RGB(A); extension with its dot. Raises OutputError."""
    try:
        done, data = cv2.imencode(extension, _swapped(array), list(options))
    except cv2.error as error:
        raise OutputError(where, f"an encoder for {extension}", reason(error), "write a PNG") from error
    if not done:
        raise OutputError(where, f"an encoder for {extension}", "none that takes this picture", "write a PNG")
    return bytes(data)


def damaged(where: str, got: str) -> PictureError:
    """The one wording for a file that is cut short or damaged."""
    return PictureError(where, "a whole picture", got, "copy or save the file again")


def _swapped(array: NDArray[Any]) -> NDArray[Any]:
    """RGB(A) <-> BGR(A); gray as it is."""
    if array.ndim == 2 or array.shape[2] < 3:
        return array
    order = [2, 1, 0, 3][: array.shape[2]]
    return np.ascontiguousarray(array[:, :, order])
