"""A picture through ONNX Runtime in strips of rows, with the result of the whole picture.

Passes over all strips: the head; per module its mask branch and convolutions, then scale, residual and the running
collect; the tail. What a strip needs of its neighbours' rows, the halo, is read from the features of the pass before
and computed again, so zeros pad at the picture's borders only. With the native library the result has the same bits as
the whole picture's: strips begin at multiples of the Winograd tiles' rows, halos are whole tiles, and channel attention
sums in the kernels' order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping

import numpy as np

from smsr_runtime.errors import BackendError, reason
from smsr_runtime.ort.features import Strip, open_maps
from smsr_runtime.ort.strip_parts import HEAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.ort.features import Maps
    from smsr_runtime.ort.strip_parts import Module, Parts
    from smsr_runtime.strips import StripJob, Strips

    Arrays = Mapping[str, NDArray[np.float32]]

TILE = 4
"""Rows of a Winograd tile."""
MODULE_HALO = 20
"""Rows above and below its own that a strip of a module reads. Each of four layers reads a row more, in whole tiles: up
to the 12th row. Their margin comes from a branch at half resolution that reads 5 more: whole tiles again."""
END_HALO = 8
"""The same for head and tail: two convolutions of 3x3."""
_START, _FEATURES, _SUM, _COLLECTED = MAPS = ("start", "features", "sum", "collected")


class StripNetwork:
    """All parts, each with a session, made when first needed."""

    def __init__(self, parts: Parts, where: str, open_part: Callable[[bytes], Any]) -> None:
        """where: the model, for errors; open_part: makes an InferenceSession."""
        self.parts = parts
        self._where, self._open = where, open_part
        self._sessions: dict[bytes, Any] = {}

    def run(self, job: StripJob, strips: Strips) -> list[NDArray[np.float32]]:
        """Writes the result and returns the margins (1, 1, H, W), or an empty list where not asked for."""
        shape = (job.height, job.width, self.parts.channels)
        with open_maps(MAPS, shape, in_file=strips.in_file, folder=job.folder) as maps:
            return _Passes(self, job, strips, maps).run()

    def compute(self, model: bytes, inputs: Arrays, outputs: Arrays) -> None:
        """Computes into the arrays of `outputs`; that of a ConvolutionAdd may be its addend's. Raises BackendError."""
        if model not in self._sessions:
            self._sessions[model] = self._open(model)
        session = self._sessions[model]
        binding = session.io_binding()
        try:
            for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
                for name, array in arrays.items():
                    bind(name, "cpu", 0, np.float32, list(array.shape), array.ctypes.data)
            session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            todo = "run --selftest to see if the bundle works"
            raise BackendError(self._where, "a result", reason(error), todo) from error


class _Passes:
    """One picture on its way."""

    def __init__(self, network: StripNetwork, job: StripJob, strips: Strips, maps: Maps) -> None:
        self._network, self._parts, self._job, self._cut, self._maps = network, network.parts, job, strips, maps
        per_module = _count(job.height, strips.rows) + _count(job.height, strips.finish)
        self._done = 0
        self._total = len(network.parts.modules) * per_module + 2 * _count(job.height, strips.ends)

    def run(self) -> list[NDArray[np.float32]]:
        self._head()
        margins = []
        source = _START
        for module in self._parts.modules:
            margin, sums = self._module(module, source)
            margins += [margin] if self._job.margins else []
            self._finish(module, source, sums)
            source = _FEATURES
        self._tail()
        return margins

    def _head(self) -> None:
        for strip in self._strips(self._cut.ends, END_HALO):
            image = self._job.read(strip.low, strip.high)
            with self._maps.window(_START, strip) as rows:
                self._network.compute(self._parts.head, {"image": image}, {HEAD: rows})

    def _module(self, module: Module, source: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Leaves the module's sums z; returns its margin, and z summed over each row (H, C)."""
        job = self._job
        theta = np.array(job.theta, np.float32)
        margin = np.empty((1, 1, job.height if job.margins else 0, job.width), np.float32)
        sums = np.empty((job.height, self._parts.channels), np.float32)
        for strip in self._strips(self._cut.rows, MODULE_HALO):
            part = np.empty((1, 1, strip.high - strip.low, job.width), np.float32)
            inputs = {module.features: self._maps.read(source, strip.low, strip.high), "theta": theta}
            with self._maps.window(_SUM, strip) as rows:
                self._network.compute(module.model, inputs, {module.sum: rows, module.margin: part})
                np.add.reduce(rows[0, strip.own], axis=1, out=sums[strip.first : strip.end])
            if job.margins:
                margin[:, :, strip.first : strip.end] = part[:, :, strip.own]
        return margin, sums

    def _finish(self, module: Module, source: str, sums: NDArray[np.float32]) -> None:
        """Scale, residual and the running collect; in place, but for the head's features, which the tail needs."""
        channels, maps = self._parts.channels, self._maps
        scale = np.diag(module.scale(sums, self._job.height * self._job.width))[None]
        weight, bias = (np.ascontiguousarray(value) for value in module.collect)
        constants = {"scale": np.ascontiguousarray(scale), "zero": np.zeros(channels, np.float32)}
        constants.update(weight=weight, bias=bias)
        for first, _, end, _ in self._strips(self._cut.finish, 0):
            features, collected = maps.read(source, first, end), maps.read(_COLLECTED, first, end)
            following = features if source == _FEATURES else maps.target(_FEATURES, first, end)
            inputs = {"sum": maps.read(_SUM, first, end), "features": features, "collected": collected, **constants}
            self._network.compute(self._parts.finish, inputs, {"next": following, "total": collected})
            maps.put(_FEATURES, first, following)
            maps.put(_COLLECTED, first, collected)

    def _tail(self) -> None:
        maps, parts = self._maps, self._parts
        for strip in self._strips(self._cut.ends, END_HALO):
            low, high = strip.low, strip.high
            inputs = {parts.collected: maps.read(_COLLECTED, low, high), HEAD: maps.read(_START, low, high)}
            scale = parts.scale
            upscaled = np.empty((1, 3, scale * (high - low), scale * self._job.width), np.float32)
            image = self._job.read(low, high)
            self._network.compute(parts.tail, {**inputs, "image": image}, {"upscaled": upscaled})
            own = slice(scale * strip.own.start, scale * strip.own.stop)
            self._job.write(scale * strip.first, upscaled[:, :, own])

    def _strips(self, rows: int, halo: int) -> Iterator[Strip]:
        """From the top; each is counted when it is done."""
        for first in range(0, self._job.height, rows):
            end = min(first + rows, self._job.height)
            yield Strip(max(0, first - halo), first, end, min(self._job.height, end + halo))
            self._done += 1
            self._job.step(self._done, self._total)


def _count(height: int, rows: int) -> int:
    return -(-height // rows)
