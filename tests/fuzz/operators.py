"""Gives the native operators shapes, types, attributes and numbers through ONNX Runtime: -m tests.fuzz.operators.

Half of the nodes are right in all; they must give a result of the right shape, the same one twice. Of the others one or
two things are wrong: ONNX Runtime or the operator must refuse them in words, or give a result. `make fuzz-operators`
does this with a library built with the address and undefined-behaviour sanitizers, which end the process at any read or
write outside of a tensor; the number of the case then stands in build/fuzz/operators.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smsr import contract
from smsr_export.model_file import IR_VERSION
from smsr_export.op_function import OPSET
from tests.export.onnx_tools import session
from tests.helpers import NATIVE_LIBRARY

KEPT = Path("build/fuzz/operators")
CONVOLUTIONS = ("Convolution", "ConvolutionRelu", "ConvolutionAdd")
FED = ("features", "addend", "margin", "theta")
_COUNTS = (0, -1, 1, 15, 17, 2**31, 2**63 - 1, -(2**63))
_TYPES = (np.float16, np.float64, np.int64)
_TEXTS = ("NCHW", "nhwc", "", "float64", "bfloat16", "\x00" * 3, "x" * 10_000)


@dataclass
class Case:
    """One node. right: nothing is wrong with it; fed: inputs that the model is given when it runs."""

    name: str
    arrays: dict[str, NDArray[Any]]
    attributes: dict[str, Any]
    output: tuple[int, ...]
    right: bool = True
    fed: set[str] = field(default_factory=set)

    def model(self) -> onnx.ModelProto:
        kinds = {key: helper.np_dtype_to_tensor_dtype(array.dtype) for key, array in self.arrays.items()}
        graph = helper.make_graph(
            [helper.make_node(self.name, list(self.arrays), ["out"], domain=contract.DOMAIN, **self.attributes)],
            "operator",
            [helper.make_tensor_value_info(key, kinds[key], None) for key in self.arrays if key in self.fed],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, key) for key, array in self.arrays.items() if key not in self.fed],
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)


def case(number: int) -> Case:
    """The same one for the same number."""
    rng = np.random.default_rng(number)
    name = str(rng.choice([*CONVOLUTIONS, "MaskBranch", "SparseMaskModule"]))
    made = _right(name, rng)
    made.fed = {key for key in made.arrays if key in FED or rng.random() < 0.2}
    if rng.random() < 0.5:
        made.right = False
        for _ in range(rng.integers(1, 3)):
            _spoil(made, rng)
    return made


def _right(name: str, rng: np.random.Generator) -> Case:
    n, h, w = int(rng.integers(1, 3)), int(rng.integers(1, 20)), int(rng.integers(1, 20))
    c = 16 * int(rng.integers(1, 5))
    attributes: dict[str, Any] = {"layout": "NHWC", "compute": str(rng.choice(["float32", "bfloat16", "float16"]))}
    output = (n, h, w, c)
    if name in CONVOLUTIONS:
        i, t = int(rng.integers(1, 40)), int(rng.choice([1, 9]))
        shapes = {"features": (n, h, w, i), "weight": (t, i, c), "bias": (c,)}
        if name == "ConvolutionAdd":
            shapes["addend"] = (n, h, w, c)
    elif name == "MaskBranch":
        q, output = -(-c // 64) * 16, (n, 1, h, w)
        shapes = {
            "features": (n, h, w, c), "full_weight": (9, c, q), "full_bias": (q,), "half_weight": (9, q, q),
            "half_bias": (q,), "phases_weight": (4, q, 4), "phases_bias": (4,),
        }  # fmt: skip
    else:
        layers, r = int(rng.integers(1, 5)), c // 16
        attributes["dense_channels"] = [int(count) for count in rng.integers(0, c + 1, layers)]
        shapes = {
            "features": (n, h, w, c), "margin": (n, 1, h, w), "theta": (), "conv_weights": (layers, 9, c, c),
            "collect_weight": (layers * c, c), "collect_bias": (c,), "squeeze_weight": (c, r), "squeeze_bias": (r,),
            "excite_weight": (r, c), "excite_bias": (c,),
        }  # fmt: skip
    return Case(name, {key: _numbers(shape, rng) for key, shape in shapes.items()}, attributes, output)


def _numbers(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Usual ones, and in one of five tensors some at the edge of their type."""
    numbers = np.asarray(0.2 * rng.standard_normal(shape), np.float32)
    if rng.random() < 0.2 and numbers.size:
        edge = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], np.float32)
        numbers.reshape(-1)[rng.integers(0, numbers.size, 5)] = rng.choice(edge, 5)
    return numbers


def _spoil(made: Case, rng: np.random.Generator) -> None:
    what = rng.integers(0, 5)
    key = str(rng.choice(list(made.arrays)))
    if what < 2:
        made.arrays[key] = _numbers(_another_shape(made.arrays[key].shape, rng), rng)
    elif what == 2:
        with np.errstate(all="ignore"):
            made.arrays[key] = made.arrays[key].astype(_TYPES[rng.integers(len(_TYPES))])
    elif what == 3:
        made.arrays.pop(key) if rng.random() < 0.5 else made.arrays.update(more=_numbers((3,), rng))
    else:
        _spoil_attributes(made.attributes, rng)


def _another_shape(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    sizes = list(shape)
    way = rng.integers(0, 4)
    if way == 0 or not sizes:
        return (*sizes, 1)
    at = int(rng.integers(len(sizes)))
    if way == 1:
        return tuple(sizes[:at] + sizes[at + 1 :])
    sizes[at] = max(0, int(rng.choice([0, sizes[at] - 1, sizes[at] + 1, 2 * sizes[at], sizes[at] // 2])))
    return tuple(sizes)


def _spoil_attributes(attributes: dict[str, Any], rng: np.random.Generator) -> None:
    if not attributes:  # taken away already
        return
    key = str(rng.choice(list(attributes)))
    way = rng.integers(0, 4)
    if way == 0:
        del attributes[key]
    elif way == 1:
        attributes[key] = 1.5
    elif not isinstance(attributes[key], list):
        attributes[key] = _TEXTS[rng.integers(len(_TEXTS))]
    elif way == 2:
        attributes[key] = [*attributes[key], 0][: int(rng.integers(1, 7))]
    else:
        attributes[key] = [_COUNTS[rng.integers(len(_COUNTS))] for _ in attributes[key]]


def attempt(one: Case, library: Path) -> bool:
    """Whether the node gave a result. Raises AssertionError for a wrong one, or where a right node is refused."""
    try:
        made = session(one.model(), library)
        results = [made.run(None, {key: one.arrays[key] for key in one.fed if key in one.arrays})[0] for _ in range(2)]
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        assert not one.right, f"refused: {error}"
        assert str(error).strip(), "refused without a word"
        return False
    assert np.array_equal(results[0], results[1], equal_nan=True), "another result the second time"
    if one.right:
        assert results[0].shape == one.output and results[0].dtype == np.float32, f"a result of {results[0].shape}"
    return True


def main() -> int:
    """Prints how many nodes gave a result and were refused; raises the first finding, whose number is then kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cases", type=int, default=sys.maxsize)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--library", type=Path, default=NATIVE_LIBRARY)
    options = parser.parse_args()
    if options.case is not None:
        print(attempt(case(options.case), options.library))
        return 0
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    until, counts, number = time.monotonic() + 60 * options.minutes, {True: 0, False: 0}, 0
    with KEPT.open("w", encoding="ascii", buffering=1) as kept:
        while number < options.cases and time.monotonic() < until:
            kept.seek(0)
            kept.write(f"{number:09}\n")  # before: a sanitizer leaves no time for it after
            counts[attempt(case(number), options.library)] += 1
            number += 1
    os.unlink(KEPT)
    print(f"{number} nodes: {counts[True]} gave a result, {counts[False]} were refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
