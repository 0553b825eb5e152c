"""A picture through ONNX Runtime in strips of rows, with the result of the whole picture.

Passes over all strips: the head; per module its mask branch and convolutions, which leave sums z, each written once;
the tail. A module's scale is known when its last strip is done; features are then made of the head's and of all sums so
far, where they are needed: reading is cheaper than writing them. What a strip needs of its neighbours' rows, the halo,
is computed again, so zeros pad at the picture's borders only. With the native library the result has the same bits as
the whole picture's: strips begin at multiples of the Winograd tiles' rows, halos are whole tiles, and channel attention
sums in the kernels' order.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping

import numpy as np

from smsr_runtime.errors import BackendError, reason
from smsr_runtime.ort.buffers import Buffers
from smsr_runtime.ort.features import Strip, open_maps
from smsr_runtime.ort.strip_parts import HEAD, ROWS, SCALES, SUM, sum_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.ort.features import Maps
    from smsr_runtime.ort.strip_parts import Parts
    from smsr_runtime.strips import StripJob, Strips

    Arrays = Mapping[str, NDArray[np.float32]]

TILE = 4
"""Rows of a Winograd tile."""
MODULE_HALO = 20
"""Rows above and below its own that a strip of a module reads. Each of four layers reads a row more, in whole tiles: up
to the 12th row. Their margin comes from a branch at half resolution that reads 5 more: whole tiles again."""
END_HALO = 8
"""The same for head and tail: two convolutions of 3x3."""
START_BYTES = 4 << 20
"""Of features that are made at a time: with all sums they come of, few enough to be nowhere but in the cache."""


class StripNetwork:
    """All parts, each with a session, made when first needed."""

    def __init__(self, parts: Parts, where: str, open_part: Callable[[bytes], Any], shrinking: Any) -> None:
        """where: the model, for errors; open_part: makes an InferenceSession, all with one arena; shrinking: RunOptions
        after which the arena gives its memory back."""
        self.parts, self.buffers = parts, Buffers()
        self._where, self._open, self._shrinking = where, open_part, shrinking
        self._sessions: dict[bytes, Any] = {}
        self._turn = threading.Lock()  # pictures share buffers

    def run(self, job: StripJob, strips: Strips) -> list[NDArray[np.float32]]:
        """Writes the result and returns the margins (1, 1, H, W), or an empty list where not asked for.

        Memory is kept for the next picture, until `release`.
        """
        shape = (job.height, job.width, self.parts.channels)
        names = [HEAD, *(sum_of(k + 1) for k in range(len(self.parts.modules)))]
        open_them = functools.partial(open_maps, in_file=strips.in_file, folder=job.folder)
        with self._turn, open_them(names, shape, self.buffers) as maps:
            return _Passes(self, job, strips, maps).run()

    def release(self) -> None:
        """Gives the memory that is kept back to the system."""
        with self._turn:
            self.buffers.clear()
            if self._sessions:
                self.shrink()

    def shrink(self) -> None:
        """Gives ONNX Runtime's part of it back, by way of a run on one pixel."""
        pixel = np.zeros((1, 3, 1, 1), np.float32)
        features = np.empty((1, 1, 1, self.parts.channels), np.float32)
        self.compute(self.parts.head, {"image": pixel}, {HEAD: features}, self._shrinking)

    def compute(self, model: bytes, inputs: Arrays, outputs: Arrays, options: Any = None) -> None:
        """Computes into the arrays of `outputs`; options: RunOptions. Raises BackendError."""
        if model not in self._sessions:
            self._sessions[model] = self._open(model)
        session = self._sessions[model]
        binding = session.io_binding()
        try:
            for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
                for name, array in arrays.items():
                    bind(name, "cpu", 0, np.float32, list(array.shape), array.ctypes.data)
            session.run_with_iobinding(binding, options)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            todo = "run --selftest to see if the bundle works"
            raise BackendError(self._where, "a result", reason(error), todo) from error


class _Passes:
    """One picture on its way."""

    def __init__(self, network: StripNetwork, job: StripJob, strips: Strips, maps: Maps) -> None:
        self._network, self._parts, self._job, self._cut, self._maps = network, network.parts, job, strips, maps
        self._done = 0
        modules = len(network.parts.modules)
        ends = strip_count(job.height, strips.ends, END_HALO)
        self._total = modules * strip_count(job.height, strips.rows, MODULE_HALO) + 2 * ends
        self._scales = np.empty((modules, network.parts.channels), np.float32)

    def run(self) -> list[NDArray[np.float32]]:
        self._head()
        self._shrink()
        margins = [self._module(index) for index in range(len(self._parts.modules))]
        self._shrink()
        self._tail()
        self._shrink()
        return margins if self._job.margins else []

    def _shrink(self) -> None:
        """Where memory is short, no two of head, modules and tail keep what ONNX Runtime allocated for them."""
        if self._cut.in_file:
            self._network.shrink()

    def _head(self) -> None:
        for strip in self._strips(self._cut.ends, END_HALO):
            image = self._job.read(strip.low, strip.high)
            with self._maps.window(HEAD, strip) as rows:
                self._network.compute(self._parts.head, {"image": image}, {HEAD: rows})

    def _module(self, index: int) -> NDArray[np.float32]:
        """Leaves the module's sums and its scale; returns its margin where margins are asked for."""
        job, module = self._job, self._parts.modules[index]
        theta = np.array(job.theta, np.float32)
        margin = np.empty((1, 1, job.height if job.margins else 0, job.width), np.float32)
        row_sums = np.empty((job.height, self._parts.channels), np.float32)
        for strip in self._strips(self._cut.rows, MODULE_HALO):
            size = strip.high - strip.low
            part = self._network.buffers.array("margin", (1, 1, size, job.width))
            sums = self._network.buffers.array("rows", (1, size, 1, self._parts.channels))
            inputs = {module.features: self._start(index, strip), "theta": theta}
            with self._maps.window(sum_of(index + 1), strip) as rows:
                self._network.compute(module.model, inputs, {SUM: rows, ROWS: sums, module.margin: part})
            row_sums[strip.first : strip.end] = sums[0, strip.own, 0]
            if job.margins:
                margin[:, :, strip.first : strip.end] = part[:, :, strip.own]
        self._scales[index] = module.scale(row_sums, job.height * job.width)
        return margin

    def _start(self, index: int, strip: Strip) -> NDArray[np.float32]:
        """A module's features in the rows of a strip, halo included."""
        module = self._parts.modules[index]
        if module.start is None:
            return self._maps.read(HEAD, strip.low, strip.high)
        return self._made(module.start, module.features, index, strip)

    def _made(self, part: bytes, name: str, modules: int, strip: Strip) -> NDArray[np.float32]:
        """The output of a part that takes so many modules' sums, in the rows of a strip; until the next call."""
        channels, width = self._parts.channels, self._job.width
        made = self._network.buffers.array("made", (1, strip.high - strip.low, width, channels))
        names = [HEAD, *(sum_of(k + 1) for k in range(modules))]
        step = max(1, START_BYTES // (4 * width * channels))
        for first in range(strip.low, strip.high, step):
            end = min(first + step, strip.high)
            inputs = {one: self._maps.read(one, first, end) for one in names}
            output = {name: made[:, first - strip.low : end - strip.low]}
            self._network.compute(part, {SCALES: self._scales[:modules], **inputs}, output)
        return made

    def _tail(self) -> None:
        parts, scale = self._parts, self._parts.scale
        for strip in self._strips(self._cut.ends, END_HALO):
            low, high = strip.low, strip.high
            collected = self._made(parts.collect, parts.collected, len(parts.modules), strip)
            inputs = {parts.collected: collected, HEAD: self._maps.read(HEAD, low, high)}
            image = self._job.read(low, high)
            shape = (1, 3, scale * (high - low), scale * self._job.width)
            upscaled = self._network.buffers.array("upscaled", shape)
            self._network.compute(parts.tail, {**inputs, "image": image}, {"upscaled": upscaled})
            own = slice(scale * strip.own.start, scale * strip.own.stop)
            self._job.write(scale * strip.first, upscaled[:, :, own])

    def _strips(self, rows: int, halo: int) -> Iterator[Strip]:
        """From the top; each is counted when it is done. All but the last read the same number of rows."""
        height = self._job.height
        count = strip_count(height, rows, halo)
        for index in range(count):
            first = index * rows + halo if index else 0
            end = min((index + 1) * rows + halo, height) if index < count - 1 else height
            yield Strip(max(0, first - halo), first, end, min(height, end + halo))
            self._done += 1
            self._job.step(self._done, self._total)


def strip_count(height: int, rows: int, halo: int) -> int:
    """Of strips that read `rows` and two halos: the first and the last one have only one, so more rows of their own."""
    return max(1, -(-(height - 2 * halo) // rows))
