"""The operators' definitions in standard ONNX operators: model-local functions.

A runtime without our library runs these instead of the kernels; with it, they are never expanded.

SparseMaskModule: per layer ONE convolution with C + d outputs: the d extra rows are those of the dense outputs with the
sparse inputs zeroed (what an inactive pixel computes). Then Where picks, not Mul: a NaN or infinity on the side not
taken must not leak. Of the bodies that were tried this is the fastest in ONNX Runtime.

They are written as ONNX text, not as graphs: docs/adr/0006-onnx-graphsurgeon.md.
"""

from __future__ import annotations

import onnx
import onnx.parser

from smsr import contract

OPSET = 17
"""ONNX opset of everything exported: the newest that TensorRT 8.6 and old ONNX Runtimes read."""
PLUGIN_ATTRIBUTES = ("plugin_version", "plugin_namespace")
"""What TensorRT's parser finds a plugin by, beside the node's type."""


def operator_functions(layers: int) -> list[onnx.FunctionProto]:
    """The functions of all operators in layout NHWC, for modules of `layers` masked convolutions."""
    return [
        module_function(layers, "NHWC"),
        _function(contract.CONVOLUTION, _convolution("biased", "biased")),
        _function(contract.CONVOLUTION_RELU, _convolution("rectified", "rectified = Relu (biased)")),
        _function(contract.CONVOLUTION_ADD, _convolution("sum", _ADD)),
        branch_function("NHWC"),
    ]


def module_function(layers: int, layout: str, plugin: bool = False) -> onnx.FunctionProto:
    """The sparse mask module's function; layout: one of contract.LAYOUTS; plugin: nodes also name a plugin."""
    body = "\n".join([_prologue(layout), *(_layer(index) for index in range(layers)), _epilogue(layers, layout)])
    return _function(contract.SPARSE_MASK_MODULE, body, PLUGIN_ATTRIBUTES if plugin else ())


def branch_function(layout: str, plugin: bool = False) -> onnx.FunctionProto:
    """The mask branch's function; arguments as module_function's."""
    body = _MASK_BRANCH.replace("TO_NCHW", _to_nchw(layout))
    return _function(contract.MASK_BRANCH, body, PLUGIN_ATTRIBUTES if plugin else ())


def _to_nchw(layout: str) -> str:
    return "Transpose <perm = [0, 3, 1, 2]> (features)" if layout == "NHWC" else "Identity (features)"


def _function(operator: contract.Operator, body: str, more: tuple[str, ...] = ()) -> onnx.FunctionProto:
    inputs = ", ".join(tensor.name for tensor in operator.inputs)
    attributes = ", ".join([*(attribute.name for attribute in operator.attributes), *more])
    text = (
        f'<domain: "{contract.DOMAIN}", opset_import: ["": {OPSET}]>\n'
        f"{operator.name} <{attributes}> ({inputs}) => ({operator.outputs[0].name}) {{\n{body}\n}}"
    )
    return onnx.parser.parse_function(text)


def _prologue(layout: str) -> str:
    """Leaves x: features as N C H W, active: the mask, and the constants of all layers."""
    return f"""
        x = {_to_nchw(layout)}
        shifted = Sub (margin, theta)
        zero_float = Constant <value_float = 0.0> ()
        zero = CastLike (zero_float, features)
        active = Greater (shifted, zero)
        counts = Constant <value_ints: ints = @dense_channels> ()
        x_shape = Shape (x)
        start0 = Constant <value_ints = [0]> ()
        start1 = Constant <value_ints = [1]> ()
        start2 = Constant <value_ints = [2]> ()
        kernel_shape = Constant <value_ints = [0, 0, 3, 3]> ()
        matrix_shape = Constant <value_ints = [0, 0, 1, 1]> ()
        no_pads = Constant <value_ints = [0, 0, 0, 0, 0]> ()
        no_pads2 = Constant <value_ints = [0, 0]> ()
        weights_shape = Shape (conv_weights)
        channel_index = Constant <value_ints = [3]> ()
        channels = Gather <axis = 0> (weights_shape, channel_index)
        y0 = Identity (x)
        inputs0 = Identity (channels)
    """


def _layer(i: int) -> str:
    """Leaves y{i+1}, this layer's output, and inputs{i+1}, its number of dense channels."""
    n = i + 1
    return f"""
        index{n} = Constant <value_int = {i}> ()
        index{n}v = Constant <value_ints = [{i}]> ()
        packed{n} = Gather <axis = 0> (conv_weights, index{n})
        rows{n} = Transpose <perm = [2, 1, 0]> (packed{n})
        weight{n} = Reshape (rows{n}, kernel_shape)
        inputs{n} = Gather <axis = 0> (counts, index{n}v)
        dense_rows{n} = Slice (weight{n}, start0, inputs{n}, start0)
        dense_part{n} = Slice (dense_rows{n}, start0, inputs{i}, start1)
        left_out{n} = Sub (channels, inputs{i})
        pads{n} = Concat <axis = 0> (no_pads, left_out{n}, no_pads2)
        dense_weight{n} = Pad (dense_part{n}, pads{n}, zero)
        both{n} = Concat <axis = 0> (weight{n}, dense_weight{n})
        sum{n} = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (y{i}, both{n})
        end{n} = Add (channels, inputs{n})
        full_dense{n} = Slice (sum{n}, start0, inputs{n}, start1)
        full_sparse{n} = Slice (sum{n}, inputs{n}, channels, start1)
        dense_only{n} = Slice (sum{n}, channels, end{n}, start1)
        dense{n} = Where (active, full_dense{n}, dense_only{n})
        sparse{n} = Where (active, full_sparse{n}, zero)
        joined{n} = Concat <axis = 1> (dense{n}, sparse{n})
        y{n} = Relu (joined{n})
    """


def _epilogue(layers: int, layout: str) -> str:
    """1x1 over all layers' outputs, channel attention, residual."""
    outputs = ", ".join(f"y{i + 1}" for i in range(layers))
    last = "Transpose <perm = [0, 2, 3, 1]> (result)" if layout == "NHWC" else "Identity (result)"
    return f"""
        all = Concat <axis = 1> ({outputs})
        collect_rows = Transpose <perm = [1, 0]> (collect_weight)
        collect_kernel = Reshape (collect_rows, matrix_shape)
        collected = Conv <kernel_shape = [1, 1]> (all, collect_kernel, collect_bias)
        pooled = GlobalAveragePool (collected)
        squeeze_rows = Transpose <perm = [1, 0]> (squeeze_weight)
        squeeze_kernel = Reshape (squeeze_rows, matrix_shape)
        squeezed = Conv <kernel_shape = [1, 1]> (pooled, squeeze_kernel, squeeze_bias)
        squeezed_relu = Relu (squeezed)
        excite_rows = Transpose <perm = [1, 0]> (excite_weight)
        excite_kernel = Reshape (excite_rows, matrix_shape)
        excited = Conv <kernel_shape = [1, 1]> (squeezed_relu, excite_kernel, excite_bias)
        scale = Sigmoid (excited)
        scaled = Mul (collected, scale)
        result = Add (scaled, x)
        next_features = {last}
    """


def _convolution(last: str, rest: str) -> str:
    """weight (T, I, O) becomes (O, I, k, k), k = sqrt(T); `last` names what `rest` leaves, N C H W."""
    more = "" if rest == last else rest
    return f"""
        x = Transpose <perm = [0, 3, 1, 2]> (features)
        rows = Transpose <perm = [2, 1, 0]> (weight)
        size = Shape (weight)
        taps_at = Constant <value_ints = [0]> ()
        taps = Gather <axis = 0> (size, taps_at)
        taps_float = Cast <to = 1> (taps)
        side_float = Sqrt (taps_float)
        side = Cast <to = 7> (side_float)
        keep = Constant <value_ints = [0, 0]> ()
        kernel_shape = Concat <axis = 0> (keep, side, side)
        kernel = Reshape (rows, kernel_shape)
        biased = Conv <auto_pad = "SAME_UPPER"> (x, kernel, bias)
        {more}
        result = Transpose <perm = [0, 2, 3, 1]> ({last})
    """


_ADD = """
        extra = Transpose <perm = [0, 3, 1, 2]> (addend)
        sum = Add (biased, extra)
"""

_MASK_BRANCH = """
        x = TO_NCHW
        kernel_shape = Constant <value_ints = [0, 0, 3, 3]> ()
        phase_shape = Constant <value_ints = [0, 0, 2, 2]> ()
        full_rows = Transpose <perm = [2, 1, 0]> (full_weight)
        full_kernel = Reshape (full_rows, kernel_shape)
        full = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, full_kernel, full_bias)
        full_relu = Relu (full)
        pads = Constant <value_ints = [0, 0, 0, 0, 0, 0, 1, 1]> ()
        padded = Pad <mode = "edge"> (full_relu, pads)
        pooled = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (padded)
        half_rows = Transpose <perm = [2, 1, 0]> (half_weight)
        half_kernel = Reshape (half_rows, kernel_shape)
        half = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (pooled, half_kernel, half_bias)
        half_relu = Relu (half)
        phase_rows = Transpose <perm = [2, 1, 0]> (phases_weight)
        phase_kernel = Reshape (phase_rows, phase_shape)
        phases = Conv <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (half_relu, phase_kernel, phases_bias)
        uncropped = DepthToSpace <blocksize = 2, mode = "CRD"> (phases)
        size = Shape <start = 2, end = 4> (x)
        starts = Constant <value_ints = [0, 0]> ()
        axes = Constant <value_ints = [2, 3]> ()
        margin = Slice (uncropped, starts, size, axes)
"""
