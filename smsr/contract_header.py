"""Writes `plugins/include/smsr_contract.h` from `smsr.contract`.

`python -m smsr.contract_header` prints it, `--write` replaces the committed file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from smsr import contract

HEADER = Path(__file__).resolve().parent.parent / "plugins" / "include" / "smsr_contract.h"


def _quoted(values: tuple[str, ...]) -> str:
    return "{" + ", ".join(f'"{value}"' for value in values) + "}"


def _strings(name: str, values: tuple[str, ...]) -> str:
    return f"inline constexpr const char* {name}[] = {_quoted(values)};"


def _shape(tensor: contract.Tensor) -> str:
    return f"{{{len(tensor.shape)}, {_quoted(tensor.shape)}}}"


def _shapes(operator: contract.Operator) -> str:
    rows = (f"    {_shape(tensor)},  // {tensor.name}" for tensor in operator.inputs)
    (output,) = operator.outputs
    last = f"inline constexpr TensorShape kOutputShape = {_shape(output)};"
    return "\n".join(("inline constexpr TensorShape kInputShapes[] = {", *rows, "};", last))


def _operator(operator: contract.Operator) -> str:
    inputs = ", ".join(f"k{_camel(tensor.name)}" for tensor in operator.inputs)
    attributes = "\n".join(
        f'inline constexpr const char* k{_camel(a.name)}Attribute = "{a.name}";' for a in operator.attributes
    )
    return (
        f"namespace {_snake(operator.name)} {{\n"
        f'inline constexpr const char* kName = "{operator.name}";\n'
        f"enum Input : int {{ {inputs}, kInputs }};\n"
        f"{_strings('kInputNames', tuple(tensor.name for tensor in operator.inputs))}\n"
        f"{_shapes(operator)}\n"
        f"{attributes}\n"
        f"}}  // namespace {_snake(operator.name)}"
    )


def _case(case: contract.Case) -> str:
    n, h, w = case.shape
    dense = ", ".join(map(str, case.dense))
    layers = len(case.dense)
    return f'    {{"{case.name}", {n}, {h}, {w}, {case.channels}, {layers}, {{{dense}}}, "{case.mask}", {case.dead}}},'


def _convolution_case(case: contract.ConvolutionCase) -> str:
    numbers = ", ".join(map(str, (*case.shape, case.inputs, case.outputs, case.taps)))
    return f'    {{"{case.name}", {numbers}}},'


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def header() -> str:
    """The whole C++17 header as text."""
    most_sizes = max(len(tensor.shape) for operator in contract.OPERATORS for tensor in operator.inputs)
    most_layers = max(len(case.dense) for case in contract.CASES)
    lines = [
        "// Made by `python -m smsr.contract_header --write` from smsr/contract.py. Do not edit.",
        "// clang-format off",
        "#pragma once",
        "",
        "namespace smsr::contract {",
        f'inline constexpr const char* kInterfaceHash = "{contract.interface_hash()}";',
        f'inline constexpr const char* kDomain = "{contract.DOMAIN}";',
        f"inline constexpr int kOperatorVersion = {contract.OPERATOR_VERSION};",
        f'inline constexpr const char* kOperatorVersionText = "{contract.OPERATOR_VERSION}";',
        f"inline constexpr int kChannelAttentionReduction = {contract.CHANNEL_ATTENTION_REDUCTION};",
        f"inline constexpr int kLanePadding = {contract.LANE_PADDING};",
        f"inline constexpr int kTensorrtMaxLayers = {contract.TENSORRT_MAX_LAYERS};",
        f"inline constexpr int kTensorrtMaxChannels = {contract.TENSORRT_MAX_CHANNELS};",
        _strings("kLayouts", contract.LAYOUTS),
        _strings("kComputeTypes", contract.COMPUTE_TYPES),
        "",
        "// Sizes as products of letters and digits, such as L*C; smsr_shapes.h computes them.",
        f"inline constexpr int kMostSizes = {most_sizes};",
        "struct TensorShape {",
        "  int rank;",
        "  const char* sizes[kMostSizes];",
        "};",
        *[_operator(operator) for operator in contract.OPERATORS],
        "",
        "// Mandatory comparisons with the reference; relative tolerances per compute type.",
        *[
            f"inline constexpr double k{_camel(name)}Tolerance = {value!r};"
            for name, value in contract.OPERATOR_RELATIVE_TOLERANCE.items()
        ],
        "struct Case {",
        "  const char* name;",
        "  int n, h, w, channels, layers;",
        f"  int dense[{most_layers}];",
        "  const char* mask;",
        "  int dead;",
        "};",
        "inline constexpr Case kCases[] = {",
        *[_case(case) for case in contract.CASES],
        "};",
        "struct ConvolutionCase {",
        "  const char* name;",
        "  int n, h, w, inputs, outputs, taps;",
        "};",
        "inline constexpr ConvolutionCase kConvolutionCases[] = {",
        *[_convolution_case(case) for case in contract.CONVOLUTION_CASES],
        "};",
        "inline constexpr int kBranchSizes[][4] = {",
        *[f"    {{{', '.join(map(str, size))}}}," for size in contract.BRANCH_SIZES],
        "};",
        "}  // namespace smsr::contract",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if arguments == ["--write"]:
        HEADER.parent.mkdir(parents=True, exist_ok=True)
        HEADER.write_text(header())
    else:
        print(header(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
