"""The contract: every fact that two parts of smsr must agree on, stated once.

Python reads this module; C++ reads `plugins/include/smsr_contract.h`, which
`python -m smsr.contract_header --write` makes from it (a test regenerates and compares).

The *interface* part (operators: name, version, inputs, attributes, layouts) is hashed;
native libraries export that hash, bundles carry it, the runtime compares the two.
Tolerances and test cases are not part of the hash.

Letters: N C H W as usual; L = layers in a module, K = modules, s = scale, I, O = channels in and out, T = taps,
R = C / CHANNEL_ATTENTION_REDUCTION, Q = C / 4 rounded up to a multiple of LANE_PADDING.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

DOMAIN = "smsr"
OPERATOR_VERSION = 1
CHANNEL_ATTENTION_REDUCTION = 16
"""Features must be a multiple of this; channel attention squeezes C to C / 16 (SMSR, section 3.2)."""
RGB_MEAN = (0.4488 * 255.0, 0.4371 * 255.0, 0.4040 * 255.0)
"""Mean of DIV2K, RGB, 0..255; the network subtracts it from its input."""
LANE_PADDING = 16
"""Channels that the native kernels write are a multiple of this: whole registers in every instruction set."""
SCALES = (2, 3, 4)
TENSORRT_MAX_LAYERS = 8
TENSORRT_MAX_CHANNELS = 128
"""What the CUDA kernels of the TensorRT plugin support: layers per sparse mask module, channels of its features."""


@dataclass(frozen=True)
class Tensor:
    """One input or output of an operator; `shape` uses the letters of the module docstring."""

    name: str
    shape: tuple[str, ...]
    doc: str


@dataclass(frozen=True)
class Attribute:
    """One attribute; `allowed` lists the values of a string, or (low, high) letters of an int list."""

    name: str
    kind: str
    allowed: tuple[str, ...]
    doc: str


@dataclass(frozen=True)
class Operator:
    name: str
    doc: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: tuple[Attribute, ...]


LAYOUTS = ("NHWC", "NCHW")
COMPUTE_TYPES = ("float32", "bfloat16", "float16")
"""An implementation may round multiplicands to this type (to nearest, ties to even); its sums are float32. It may
also compute more exactly: in float32 where it has no fast kernels for the type, or where they gain nothing."""
COMPUTE_OF_PRECISION = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}

_FEATURES = ("N", "H", "W", "C")

SPARSE_MASK_MODULE = Operator(
    name="SparseMaskModule",
    doc="Four sparse mask convolutions with ReLU, 1x1 collect, channel attention, residual (SMSR, section 3.2).",
    inputs=(
        Tensor("features", _FEATURES, "module input; (N, C, H, W) where layout is NCHW"),
        Tensor("margin", ("N", "1", "H", "W"), "a pixel is active where margin - theta > 0 (NaN: inactive)"),
        Tensor("theta", (), "threshold on the margin; 0 is the trained value"),
        Tensor(
            "conv_weights",
            ("L", "9", "C", "C"),
            "[layer, 3*ky+kx, in, out]; channels of each layer's output ordered dense | sparse | dead",
        ),
        Tensor("collect_weight", ("L*C", "C"), "[layer*C + in, out] of the 1x1 over all layers' outputs"),
        Tensor("collect_bias", ("C",), ""),
        Tensor("squeeze_weight", ("C", "R"), "channel attention, [in, out]"),
        Tensor("squeeze_bias", ("R",), ""),
        Tensor("excite_weight", ("R", "C"), "channel attention, [in, out]"),
        Tensor("excite_bias", ("C",), ""),
    ),
    outputs=(Tensor("next_features", _FEATURES, "shape and layout of features"),),
    attributes=(
        Attribute("dense_channels", "ints", ("0", "C"), "per layer: how many leading outputs are dense"),
        Attribute("layout", "string", LAYOUTS, "of features and next_features"),
        Attribute("compute", "string", COMPUTE_TYPES, "type of the multiplicands; sums are float32"),
    ),
)

_CONVOLUTION_INPUTS = (
    Tensor("features", ("N", "H", "W", "I"), ""),
    Tensor("weight", ("T", "I", "O"), "[3*ky+kx, in, out], T = 9 taps padded by zeros, or T = 1"),
    Tensor("bias", ("O",), ""),
)
_CONVOLUTION_OUTPUTS = (Tensor("result", ("N", "H", "W", "O"), "O is a multiple of LANE_PADDING"),)
_DENSE_ATTRIBUTES = (
    Attribute("layout", "string", ("NHWC",), "of features and result"),
    Attribute("compute", "string", COMPUTE_TYPES, "type of the multiplicands; sums are float32"),
)


def _convolution(name: str, doc: str, *more_inputs: Tensor) -> Operator:
    return Operator(name, doc, (*_CONVOLUTION_INPUTS, *more_inputs), _CONVOLUTION_OUTPUTS, _DENSE_ATTRIBUTES)


CONVOLUTION = _convolution("Convolution", "3x3 or 1x1 convolution, same size, with bias.")
CONVOLUTION_RELU = _convolution("ConvolutionRelu", "ReLU(Convolution).")
CONVOLUTION_ADD = _convolution("ConvolutionAdd", "Convolution + addend.", Tensor("addend", ("N", "H", "W", "O"), ""))
MASK_BRANCH = Operator(
    name="MaskBranch",
    doc="Margin of the spatial mask: conv3x3 C->Q, ReLU, AvgPool2 (last row, column repeated where odd), conv3x3 Q->Q, "
    "ReLU, four 2x2 phases interleaved, cropped to H x W (fold.fold_logits); channels of Q past C / 4 are zero.",
    inputs=(
        Tensor("features", _FEATURES, ""),
        Tensor("full_weight", ("9", "C", "Q"), "[3*ky+kx, in, out]"),
        Tensor("full_bias", ("Q",), ""),
        Tensor("half_weight", ("9", "Q", "Q"), "[3*ky+kx, in, out]"),
        Tensor("half_bias", ("Q",), ""),
        Tensor("phases_weight", ("4", "Q", "4"), "[2*dy+dx, in, 2*py+px]; zeros below and right of the image"),
        Tensor("phases_bias", ("4",), ""),
    ),
    outputs=(Tensor("margin", ("N", "1", "H", "W"), ""),),
    attributes=_DENSE_ATTRIBUTES,
)

OPERATORS = (SPARSE_MASK_MODULE, CONVOLUTION, CONVOLUTION_RELU, CONVOLUTION_ADD, MASK_BRANCH)


def interface() -> dict[str, object]:
    """The hashed part of the contract as plain JSON data (documentation strings left out)."""
    operators = []
    for operator in OPERATORS:
        facts = dataclasses.asdict(operator)
        del facts["doc"]
        for part in ("inputs", "outputs", "attributes"):
            for item in facts[part]:
                del item["doc"]
        operators.append(facts)
    return {"domain": DOMAIN, "version": OPERATOR_VERSION, "operators": operators}


def interface_hash() -> str:
    """First 16 hex digits of the SHA-256 of `interface()` as canonical JSON."""
    text = json.dumps(interface(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Tolerance:
    """What a precision may differ from PyTorch float32 with hard masks (docs/design.md).

    flips: share of all mask pixels that may differ (`min_flips` pixels always may);
    max_abs: largest difference of outputs (0..255) that no differing mask pixel can reach, None: unlimited;
    rmse: root mean square difference of outputs (0..255), None: unlimited;
    psnr_db: difference of the PSNR on real images;
    golden_rmse: root mean square difference on the self-test's small picture (0..255), None: GOLDEN_MAX_ABS instead.
    """

    flips: float
    min_flips: int
    max_abs: float | None
    rmse: float | None
    psnr_db: float
    golden_rmse: float | None


TOLERANCES = {
    "fp32": Tolerance(flips=1e-5, min_flips=2, max_abs=1e-3, rmse=None, psnr_db=0.001, golden_rmse=None),
    "fp16": Tolerance(flips=3e-3, min_flips=2, max_abs=None, rmse=0.08, psnr_db=0.01, golden_rmse=0.08),
    "bf16": Tolerance(flips=2e-2, min_flips=2, max_abs=None, rmse=0.15, psnr_db=0.02, golden_rmse=0.4),
}
PRECISIONS = tuple(TOLERANCES)
GOLDEN_MAX_ABS = 1e-3
"""Largest difference (0..255) on the self-test's small picture of what computes in float32. In reduced precision one
mask pixel that flips may change a pixel by 10, as much as a wrong network does, so that the RMSE decides: bf16 gives
0.08 to 0.31 (four sets of weights, seven pictures each), theta 2 instead of 0 gives 0.74, one flipped kernel 2.5."""

OPERATOR_RELATIVE_TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-2, "float16": 3e-3}
"""One operator against the float64 reference: largest |difference| over largest |reference - features|."""

MASKS = ("off", "on", "one", "border", "clustered", "random")


@dataclass(frozen=True)
class Case:
    """One mandatory comparison of every implementation of the operator with the reference.

    dense: dense channels per layer; dead: trailing channels per layer whose rows and columns are zero.
    """

    name: str
    shape: tuple[int, int, int]
    channels: int
    dense: tuple[int, ...]
    mask: str
    dead: int = 0


CASES = (
    Case("mask_off", (1, 13, 21), 64, (24, 9, 3, 0), "off"),
    Case("mask_on", (1, 13, 21), 64, (24, 9, 3, 0), "on"),
    Case("one_pixel", (1, 12, 19), 64, (24, 9, 3, 0), "one"),
    Case("border_only", (1, 11, 14), 64, (16, 7, 1, 0), "border"),
    Case("wide", (1, 5, 67), 64, (24, 9, 3, 0), "clustered"),
    Case("tall", (1, 67, 5), 64, (16, 4, 1, 0), "clustered"),
    Case("batch_2", (2, 17, 10), 64, (14, 5, 0, 0), "random"),
    Case("batch_3_odd", (3, 7, 9), 32, (8, 3, 17, 0), "random"),
    Case("single_pixel_on", (1, 1, 1), 64, (24, 9, 3, 0), "on"),
    Case("single_pixel_off", (1, 1, 1), 64, (24, 9, 3, 0), "off"),
    Case("single_row", (1, 1, 23), 64, (3, 0, 0, 0), "random"),
    Case("single_column", (1, 23, 1), 64, (3, 0, 0, 0), "random"),
    Case("all_sparse", (1, 15, 18), 64, (0, 0, 0, 0), "clustered"),
    Case("all_sparse_mask_off", (1, 9, 8), 64, (0, 0, 0, 0), "off"),
    Case("all_dense", (1, 15, 18), 64, (64, 64, 64, 64), "clustered"),
    Case("one_dense", (1, 15, 18), 64, (1, 1, 1, 1), "clustered"),
    Case("one_sparse", (1, 10, 16), 64, (63, 63, 63, 63), "random"),
    Case("dense_grows", (1, 14, 9), 64, (0, 33, 5, 64), "random"),
    Case("real_module_1", (1, 33, 47), 64, (24, 9, 3, 0), "clustered"),
    Case("real_module_2", (1, 33, 47), 64, (16, 4, 1, 0), "clustered"),
    Case("real_module_3", (1, 47, 33), 64, (16, 7, 1, 0), "clustered"),
    Case("real_module_4", (1, 33, 47), 64, (3, 0, 0, 0), "clustered"),
    Case("real_module_5", (1, 31, 46), 64, (14, 5, 0, 0), "clustered"),
    Case("dead_channels", (1, 16, 13), 64, (10, 20, 5, 9), "clustered", dead=7),
    Case("channels_16", (1, 18, 11), 16, (6, 2, 0, 1), "clustered"),
    Case("channels_32", (1, 18, 11), 32, (20, 2, 0, 15), "clustered"),
    Case("channels_48", (1, 12, 13), 48, (20, 2, 0, 47), "random"),
    Case("channels_128", (1, 9, 10), 128, (50, 3, 0, 17), "random"),
    Case("six_layers", (1, 10, 12), 32, (9, 8, 7, 3, 1, 0), "random"),
    Case("one_layer", (1, 10, 12), 32, (9,), "random"),
)


@dataclass(frozen=True)
class ConvolutionCase:
    """One mandatory comparison of the dense convolutions; taps: 9 or 1."""

    name: str
    shape: tuple[int, int, int]
    inputs: int
    outputs: int
    taps: int


CONVOLUTION_CASES = (
    ConvolutionCase("body", (1, 33, 47), 64, 64, 9),
    ConvolutionCase("image", (1, 21, 18), 3, 64, 9),
    ConvolutionCase("tail", (1, 19, 22), 64, 16, 9),
    ConvolutionCase("batch_2", (2, 9, 14), 64, 64, 9),
    ConvolutionCase("collect", (1, 13, 17), 64, 64, 1),
    ConvolutionCase("single_pixel", (1, 1, 1), 64, 64, 9),
    ConvolutionCase("single_row", (1, 1, 23), 64, 32, 9),
    ConvolutionCase("single_column", (1, 23, 1), 64, 48, 9),
    ConvolutionCase("channels_16", (1, 7, 6), 16, 16, 9),
    ConvolutionCase("channels_odd", (1, 10, 5), 37, 80, 9),
    ConvolutionCase("channels_128", (2, 6, 7), 128, 128, 9),
)

BRANCH_SIZES = ((1, 16, 20, 64), (1, 17, 20, 64), (2, 16, 21, 64), (1, 13, 9, 32), (1, 1, 1, 64), (1, 1, 6, 16),
                (1, 5, 1, 16), (1, 2, 2, 48), (2, 7, 8, 128))  # fmt: skip
"""(N, H, W, C) of the mandatory comparisons of MaskBranch."""
