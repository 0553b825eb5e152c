"""Transparency around the network: no hidden colour reaches visible pixels, and flat alpha stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def spread(color: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """color (H, W[, 3]), where alpha (H, W) is 0 that of the nearest visible pixel; unchanged where none is visible.

    What lies under transparent pixels is often black, which the network would draw into a dark rim.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return color
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(~hidden)
    nearest = np.zeros((2, int(labels.max()) + 1), np.int32)
    nearest[:, labels[rows, columns]] = rows, columns
    filled: NDArray[Any] = color.copy()
    filled[hidden] = color[nearest[0, labels[hidden]], nearest[1, labels[hidden]]]
    return filled


def within_neighbours(upscaled: NDArray[Any], alpha: NDArray[Any], scale: int) -> NDArray[Any]:
    """upscaled (sH, sW) clamped to the range that alpha (H, W) has in the 3 x 3 pixels around each pixel's own.

    So 0 and full stay exact where alpha is flat: a network's ringing makes opaque pixels slightly transparent.
    """
    low, high = cv2.erode(alpha, _NEIGHBOURS), cv2.dilate(alpha, _NEIGHBOURS)
    least, most = (side.repeat(scale, axis=0).repeat(scale, axis=1) for side in (low, high))
    return np.asarray(np.minimum(np.maximum(upscaled, least), most))
