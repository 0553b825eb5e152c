"""The bundle's one model cut into the parts that `ort.strips` runs strip by strip.

The operator SparseMaskModule applies channel attention to what it is given, here to a strip, and there the mean of the
whole picture is not known. Its constants are changed so that it gives the collect's sum z instead: excite = 0 with a
bias of 30 makes the scale sigmoid(30), which is 1 in float32, and collect's weights times 2^64 make the result
z * 2^64 + features. In float32 that is z * 2^64 as long as |z| > 2^-39 |features|; a smaller z is rounded away when the
residual is added, anyway. A power of two changes no other rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smsr_runtime.errors import BackendError, reason
from smsr_runtime.ort.model_parts import ModelParts, standard_node

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = "head.2"
"""The tensor of the head's features."""
_LIFT = 2.0**64
_ONE = 30.0
"""Its sigmoid is 1 in float32."""
_TODO = "export the checkpoint again with smsr-export, or use a machine with more memory"


@dataclass(frozen=True)
class Module:
    """model: features, theta -> sum, margin (names of its tensors); `sum` is z times `lift`.

    squeeze, excite: weight [in, out] and bias of channel attention. collect: weight (1, C, C) and bias of its 1x1.
    """

    model: bytes
    features: str
    sum: str
    margin: str
    lift: float
    squeeze: tuple[NDArray[np.float32], NDArray[np.float32]]
    excite: tuple[NDArray[np.float32], NDArray[np.float32]]
    collect: tuple[NDArray[np.float32], NDArray[np.float32]]

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
    """head: image -> HEAD. finish: sum, scale (1, C, C), zero (C,), features, weight, bias, collected -> next, total.
    tail: `collected`, HEAD, image -> upscaled."""

    head: bytes
    modules: tuple[Module, ...]
    finish: bytes
    tail: bytes
    collected: str
    scale: int

    @property
    def channels(self) -> int:
        return len(self.modules[0].collect[1])


def read_parts(model: Path, modules: int, scale: int, *, half: bool) -> Parts:
    """half: modules compute in float16, where 2^64 is infinite: the features are subtracted instead, which rounds.

    Raises BackendError for a model that is not cut as smsr-export's are.
    """
    try:
        whole = ModelParts(model.read_bytes())
        collected = f"collect.0_{modules}"
        return Parts(
            head=whole.part({"image": 4}, [HEAD]),
            modules=tuple(_module(whole, index, half=half) for index in range(1, modules + 1)),
            finish=_finish(whole),
            tail=whole.part({collected: 4, HEAD: 4, "image": 4}, ["upscaled"]),
            collected=collected,
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


def _module(whole: ModelParts, index: int, *, half: bool) -> Module:
    name, result, margin = f"module_{index}.", f"features_{index}", f"margin_{index}"
    features = whole.node(result).inputs[0]
    lift = 1.0 if half else _LIFT
    values = {
        part: (whole.constant(f"{name}{part}_weight"), whole.constant(f"{name}{part}_bias"))
        for part in ("squeeze", "excite", "collect")
    }
    weight, bias = values["excite"]
    constants = {f"{name}excite_weight": np.zeros_like(weight), f"{name}excite_bias": np.full_like(bias, _ONE)}
    for part, value in zip(("weight", "bias"), values["collect"]):
        constants[f"{name}collect_{part}"] = value * np.float32(lift)
    subtract = [standard_node("Sub", [result, features], "sum")] if half else []
    output = "sum" if half else result
    return Module(
        model=whole.part({features: 4, "theta": 0}, [output, margin], constants, subtract),
        features=features,
        sum=output,
        margin=margin,
        lift=lift,
        squeeze=values["squeeze"],
        excite=values["excite"],
        collect=(whole.constant(f"collect.0_{index}.weight"), whole.constant(f"collect.0_{index}.bias")),
    )


def _finish(whole: ModelParts) -> bytes:
    """next = scale * sum + features, the scale as a diagonal 1x1; total = collected + its 1x1: two ConvolutionAdd."""
    add = whole.node("collect.2")
    nodes = [
        add.renamed(["sum", "scale", "zero", "features"], "next"),
        add.renamed(["next", "weight", "bias", "collected"], "total"),
    ]
    ranks = {"sum": 4, "scale": 3, "zero": 1, "features": 4, "weight": 3, "bias": 1, "collected": 4}
    return whole.part(ranks, ["next", "total"], nodes=nodes)


def _connected(
    values: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """A fully connected layer, summed input by input."""
    total = bias.astype(np.float64)
    for value, row in zip(values, weight):
        total = total + np.float64(value) * row.astype(np.float64)
    return total
