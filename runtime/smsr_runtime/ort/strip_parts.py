"""The bundle's one model cut into the parts that `ort.strips` runs strip by strip.

The operator SparseMaskModule applies channel attention to what it is given, here to a strip, and there the mean of the
whole picture is not known. The native library has two operators for this: SparseMaskSums gives a module's sums z before
attention, and what each of their rows sums to; ScaledSum adds scale * z to features. Without it the function body runs
with other constants: excite = 0 with a bias of 30 makes the scale sigmoid(30), which is 1 in float32, and collect's
weights times 2^64 make the result z * 2^64 + features. In float32 that is z * 2^64 as long as |z| > 2^-39 |features|; a
smaller z is rounded away when the residual is added, anyway. A power of two changes no other rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from smsr_runtime.errors import BackendError, reason
from smsr_runtime.ort.model_parts import ModelParts, Node, standard_node
from smsr_runtime.ort.native import SCALED_SUM_OPERATOR, SUMS_OPERATOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = "head.2"
"""The tensor of the head's features."""
SCALES = "scales"
"""The input with a row (C,) for every module so far."""
SUM, ROWS = "sum", "rows"
"""A module's outputs: z (1, H, W, C) times its `lift`, and z summed over each row (1, H, 1, C)."""
_BEFORE_ATTENTION = 6
"""Inputs of SparseMaskModule that SparseMaskSums takes: features, margin, theta, convolutions, collect's two."""
_LIFT = 2.0**64
_ONE = 30.0
"""Its sigmoid is 1 in float32."""
_TODO = "export the checkpoint again with smsr-export, or use a machine with more memory"


def sum_of(module: int) -> str:
    """The input with the sums z of module 1 .. K."""
    return f"{SUM}_{module}"


@dataclass(frozen=True)
class Module:
    """start: HEAD, sums of the modules before, SCALES -> `features`; none for the first module: its features are HEAD.
    model: `features`, theta -> SUM, ROWS, `margin`.

    squeeze, excite: weight [in, out] and bias of channel attention.
    """

    start: bytes | None
    model: bytes
    features: str
    margin: str
    lift: float
    squeeze: tuple[NDArray[np.float32], NDArray[np.float32]]
    excite: tuple[NDArray[np.float32], NDArray[np.float32]]

    def scale(self, row_sums: NDArray[np.float32], pixels: int) -> NDArray[np.float32]:
        """Channel attention's scale (C,), over `lift`, of sums of z * lift over each row (H, C).

        In the order and precision of the native kernels (plugins/kernels/module/attention.cpp).
        """
        total = np.add.reduce(row_sums.astype(np.float64), axis=0) / self.lift
        squeezed = np.maximum(_connected((total / pixels).astype(np.float32), *self.squeeze), 0.0)
        excited = _connected(squeezed.astype(np.float32), *self.excite)
        scale = (1.0 / (1.0 + np.exp(-excited))).astype(np.float32)
        lowered: NDArray[np.float32] = scale / np.float32(self.lift)
        return lowered


@dataclass(frozen=True)
class Parts:
    """head: image -> HEAD. collect: HEAD, sums of all modules, SCALES -> `collected`. tail: that, HEAD, image ->
    upscaled."""

    head: bytes
    modules: tuple[Module, ...]
    collect: bytes
    collected: str
    tail: bytes
    scale: int

    @property
    def channels(self) -> int:
        return len(self.modules[0].excite[1])


def read_parts(model: Path, modules: int, scale: int, *, native: bool) -> Parts:
    """native: for our library. Raises BackendError for a model that is not cut as smsr-export's are."""
    try:
        cut = _Cut(ModelParts(model.read_bytes()), native)
        return Parts(
            head=cut.whole.part({"image": 4}, [HEAD]),
            modules=tuple(cut.module(index) for index in range(1, modules + 1)),
            collect=cut.collect(modules),
            collected=_collected(modules),
            tail=cut.whole.part({_collected(modules): 4, HEAD: 4, "image": 4}, ["upscaled"]),
            scale=scale,
        )
    except (OSError, KeyError, ValueError) as error:
        expected = "the tensors of a model made by smsr-export, to run it in strips"
        raise BackendError(model, expected, f"none of them: {reason(error)}", _TODO) from error


def can_be_cut(model: Path) -> bool:
    """Whether a model, of which ONNX Runtime made a session, has the head of those that smsr-export makes."""
    try:
        return f"{HEAD}.weight" in ModelParts(model.read_bytes()).constants
    except ValueError:  # a name that is no text, which ONNX Runtime does not mind
        return False


@dataclass(frozen=True)
class _Cut:
    whole: ModelParts
    native: bool

    def module(self, index: int) -> Module:
        name, result = f"module_{index}.", f"features_{index}"
        node = self.whole.node(result)
        features = node.inputs[0]
        values = {
            part: (self.whole.constant(f"{name}{part}_weight"), self.whole.constant(f"{name}{part}_bias"))
            for part in ("squeeze", "excite", "collect")
        }
        if self.native:
            constants, nodes = {}, [node.of(SUMS_OPERATOR, node.inputs[:_BEFORE_ATTENTION], [SUM, ROWS])]
        else:
            constants = _lifted(name, values)
            total = standard_node("ReduceSum", [SUM, "axis"], ROWS)
            nodes = [Node(node.inputs, (SUM,), node.rest), total]
        margin = f"margin_{index}"
        model = self.whole.part({features: 4, "theta": 0}, [SUM, ROWS, margin], constants, {result: nodes})
        start = self._start(index - 1) if index > 1 else None
        lift = 1.0 if self.native else _LIFT
        return Module(start, model, features, margin, lift, values["squeeze"], values["excite"])

    def _start(self, modules: int) -> bytes:
        """Features after so many modules."""
        inputs, steps = _sums(modules), {}
        if self.native:
            add = self.whole.node("collect.2")
            steps[f"features_{modules}"] = [add.of(SCALED_SUM_OPERATOR, list(inputs), [f"features_{modules}"])]
        else:
            steps = {f"features_{k}": self._step(k) for k in range(1, modules + 1)}
        return self.whole.part(inputs, [f"features_{modules}"], _rows_of(modules), steps)

    def collect(self, modules: int) -> bytes:
        steps = {f"features_{k}": self._step(k) for k in range(1, modules + 1)}
        return self.whole.part(_sums(modules), [_collected(modules)], _rows_of(modules), steps)

    def _step(self, module: int) -> list[Node]:
        """Features after a module, of those before it."""
        before, after = f"features_{module - 1}" if module > 1 else HEAD, f"features_{module}"
        scale = f"scale_{module}"
        pick = standard_node("Gather", [SCALES, f"row_{module}"], scale)
        if self.native:
            add = self.whole.node("collect.2")
            return [pick, add.of(SCALED_SUM_OPERATOR, [before, scale, sum_of(module)], [after])]
        scaled = f"scaled_{module}"
        multiply = standard_node("Mul", [sum_of(module), scale], scaled)
        return [pick, multiply, standard_node("Add", [scaled, before], after)]


def _collected(modules: int) -> str:
    return f"collect.0_{modules}"


def _sums(modules: int) -> dict[str, int]:
    """What features after so many modules are made of, with the ranks."""
    return {HEAD: 4, SCALES: 2, **{sum_of(k): 4 for k in range(1, modules + 1)}}


def _rows_of(modules: int) -> dict[str, NDArray[np.int64]]:
    """Which row of SCALES is a module's."""
    return {f"row_{k}": np.array([k - 1], np.int64) for k in range(1, modules + 1)}


def _lifted(name: str, values: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Constants that let a module give z * 2^64; the axis of a picture's width for ROWS."""
    weight, bias = values["excite"]
    constants = {f"{name}excite_weight": np.zeros_like(weight), f"{name}excite_bias": np.full_like(bias, _ONE)}
    for part, value in zip(("weight", "bias"), values["collect"]):
        constants[f"{name}collect_{part}"] = value * np.float32(_LIFT)
    return {**constants, "axis": np.array([2], np.int64)}


def _connected(
    values: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """A fully connected layer, summed input by input."""
    total = bias.astype(np.float64)
    for value, row in zip(values, weight):
        total = total + np.float64(value) * row.astype(np.float64)
    return total
