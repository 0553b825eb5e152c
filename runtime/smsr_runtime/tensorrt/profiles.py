"""Profiles to build an engine with: ranges of H and W, batch 1 (the backend runs pictures one by one)."""

from __future__ import annotations

from typing import Any, Sequence

from smsr_runtime.sizes import Profile, Size, Wanted

_SMALLEST: Size = (16, 16)
_USUAL: Size = (540, 960)
_LARGEST: tuple[Size, ...] = ((1920, 1920), (1280, 1280), (960, 960), (640, 640), (480, 480), (320, 320), (192, 192))
"""Square, so that a picture fits in portrait format too."""


def profiles(wanted: Wanted, free: int, per_pixel: int) -> Sequence[Profile]:
    """Profiles to try in this order, each smaller than the one before, until GPU memory suffices.

    wanted.max: then one profile, up to that size. free: bytes of GPU memory; without wanted.max, the first profile uses
    at most half of it. per_pixel: bytes of memory per input pixel.
    """
    if wanted.max:
        return [_filled(wanted, wanted.max)]
    floor = wanted.opt or wanted.min or (1, 1)
    larger = [(max(size[0], floor[0]), max(size[1], floor[1])) for size in _LARGEST]
    fitting = [size for size in larger if size[0] * size[1] * per_pixel <= free // 2] or larger[-1:]
    return [_filled(wanted, size) for size in dict.fromkeys(fitting)]


def _filled(wanted: Wanted, largest: Size) -> Profile:
    smallest = wanted.min or _both(min, _SMALLEST, wanted.opt or largest)
    smallest = _both(min, smallest, largest)
    usual = wanted.opt or _both(max, _both(min, _USUAL, largest), smallest)
    return Profile(smallest, usual, largest)


def _both(pick: Any, first: Size, second: Size) -> Size:
    return (pick(first[0], second[0]), pick(first[1], second[1]))
