"""Frames begun ahead of the one that is waited for, where what upscales them can do that; all others one by one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence, Tuple, runtime_checkable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Result = Tuple[NDArray[Any], Sequence[float]]
    Upscale = Callable[[NDArray[Any]], Result]
    """(H, W, 3) uint8 or uint16 RGB, or (H, W, 4) with alpha -> the same `scale` times larger, and per module its share
    of active pixels."""


@runtime_checkable
class Beginning(Protocol):
    """An `Upscale` that can also begin a frame. ahead: how many more to begin before the first is waited for."""

    @property
    def ahead(self) -> int: ...

    def begin(self, pixels: NDArray[Any]) -> Callable[[], Result]:
        """What it returns waits for the frame, and raises what went wrong with it."""
        ...


class Ahead:
    """Hands each frame's result on, in the frames' order."""

    def __init__(self, upscale: Upscale, take: Callable[..., None]) -> None:
        """take: called with a frame's result, and with what came with the frame."""
        self._upscale, self._take = upscale, take
        self._begun: deque[tuple[Callable[[], Result], tuple[Any, ...]]] = deque()

    def put(self, pixels: NDArray[Any], *beside: Any) -> None:
        if not isinstance(self._upscale, Beginning):
            self._take(self._upscale(pixels), *beside)
            return
        self._begun.append((self._upscale.begin(pixels), beside))
        if len(self._begun) > self._upscale.ahead:
            self._take_oldest()

    def finish(self) -> None:
        while self._begun:
            self._take_oldest()

    def _take_oldest(self) -> None:
        result, beside = self._begun.popleft()
        self._take(result(), *beside)
