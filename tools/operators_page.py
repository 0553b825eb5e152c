"""docs/operators.md, the operators' specification, made from `smsr/contract.py`.

`python tools/operators_page.py --write` after a change of the contract; without --write it only compares, as a test
does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from smsr import contract

PAGE = Path(__file__).parent.parent / "docs" / "operators.md"
TEXT = """# The operators

Domain `{domain}`, version {version}, interface hash `{hash}`. This page is made from `smsr/contract.py`, the one
place that states these facts, by `python tools/operators_page.py --write`; C++ reads them from
`plugins/include/smsr_contract.h`. What the operators are for, and why they are cut this way: [design.md](design.md),
*The network* and *The operators*.

| file | operators in it | layout |
|---|---|---|
| `model.onnx` | all of this page | N H W C |
| `model.trt.onnx` | `SparseMaskModule`, as a plugin node; the rest is standard ONNX | N C H W |

All inputs and outputs are tensors of float32. In `model.trt.onnx` all inputs of a module are of the type that
`compute` names, float32 or float16. Every input is required, and in this order.

Sizes are letters:

| letter | is |
|---|---|
| N, H, W | images, height, width in low resolution: 1 or more, known when the model runs |
| C | channels of the features; a multiple of {reduction} |
| L | sparse mask convolutions in a module |
| R | C / {reduction}, the squeezed channels of channel attention |
| I, O | channels in and out of a convolution; O is a multiple of {lanes} |
| T | taps of a convolution, 9 (3x3) or 1 (1x1) |
| Q | C / 4, rounded up to a multiple of {lanes} |

{operators}

## The function body

Every operator travels with its definition in standard operators of opset 17: a model-local function
(`ModelProto.functions`) in `model.onnx`, written by `export/smsr_export/op_function.py`. It is the specification's
executable form: a runtime without our library runs it, and where words of this page and the body differ, the body is
right. To print it:

```sh
smsr-export x2 -o model.onnx
```

```python
import onnx

for function in onnx.load("model.onnx").functions:
    print(onnx.printer.to_text(function))
```

`smsr/reference.py` computes the module once more, in numpy with float64 and in PyTorch: tests compare kernels,
function bodies and reference with each other.

## What the author of a plugin must know

- **The mask is margin - theta > 0**, one bit per pixel, equal for all layers of a module. A NaN in the margin is
  inactive, a margin equal to theta too. `theta` is a scalar tensor: its value may change from run to run.
- **Channels of each layer are sorted** dense | sparse | dead. `dense_channels[i]` says how many of layer i's outputs
  are dense. Dead channels need no care: their weights are zero.
- **An active pixel** takes the full convolution C -> C. **An inactive one** has 0 in its sparse channels, and in its
  dense channels the sum over the dense channels of the layer before alone. The first layer's inputs are all dense.
- **What is skipped must not leak**: pick by the mask, do not multiply by it; infinity times 0 is NaN.
- **Padding** is one pixel of zeros around the whole picture, for every layer.
- **Channel attention** takes the mean over H and W of each image by itself, over active and inactive pixels.
- **dense_channels outside of 0..C** raises no error in the function body, so a kernel has to check it, and that there
  is one count per layer.
- **Weights are inputs**, [tap, in, out]. Repack them once only where they are constants.
- **compute** allows rounding of multiplicands, to nearest, ties to even; sums are float32. An implementation may
  compute more exactly, in float32, where it has no fast kernels for the type.
- **Output shapes** follow from input shapes; nothing depends on the mask.
- **The TensorRT plugin** takes at most {trt_layers} layers and {trt_channels} channels; formats, names and how it is
  loaded: [tensorrt-plugin.md](tensorrt-plugin.md).
- **A library exports `smsr_interface_hash()`**. The runtime compares it with the hash in the bundle's manifest and
  refuses a pair that differs, before a picture is computed.

The hash is the first 16 hex digits of the SHA-256 of domain, version and, per operator, its name and the names,
shapes, kinds and allowed values of inputs, outputs and attributes, as JSON with sorted keys and no blanks
(`smsr.contract.interface_hash`). Meanings, tolerances and test cases are not part of it. After a change:

```sh norun: changes the repository
python -m smsr.contract_header --write
python tools/operators_page.py --write
```

## What every implementation must pass

{cases} cases of the module, {convolutions} of the convolutions and {branches} of the mask branch (`CASES`,
`CONVOLUTION_CASES`, `BRANCH_SIZES` in `smsr/contract.py`): masks that are empty, full, one pixel, at the border, in
clusters and at random; no, one, all dense channels; odd sizes, single rows, batches. Against float64, the largest
difference may be this share of the largest absolute value of reference - features:

{tolerances}
"""


def page() -> str:
    """The whole page as Markdown."""
    return TEXT.format(
        domain=contract.DOMAIN,
        version=contract.OPERATOR_VERSION,
        hash=contract.interface_hash(),
        reduction=contract.CHANNEL_ATTENTION_REDUCTION,
        lanes=contract.LANE_PADDING,
        operators="\n\n".join(_operator(operator) for operator in contract.OPERATORS),
        trt_layers=contract.TENSORRT_MAX_LAYERS,
        trt_channels=contract.TENSORRT_MAX_CHANNELS,
        cases=len(contract.CASES),
        convolutions=len(contract.CONVOLUTION_CASES),
        branches=len(contract.BRANCH_SIZES),
        tolerances=_table(["compute", "at most"], contract.OPERATOR_RELATIVE_TOLERANCE.items()),
    )


def _operator(operator: contract.Operator) -> str:
    """One section: meaning, tensors, attributes."""
    tensors = [*_rows("in", operator.inputs), *_rows("out", operator.outputs)]
    attributes = [[f"`{a.name}`", a.kind, _allowed(a), a.doc] for a in operator.attributes]
    return "\n\n".join(
        (
            f"## {operator.name}",
            operator.doc.replace("*", "\\*"),
            _table(["", "tensor", "shape", "meaning"], tensors),
            _table(["attribute", "kind", "values", "meaning"], attributes),
        )
    )


def _rows(way: str, tensors: Sequence[contract.Tensor]) -> Iterator[list[str]]:
    for tensor in tensors:
        yield [way, f"`{tensor.name}`", _shape(tensor.shape), tensor.doc]


def _shape(sizes: Sequence[str]) -> str:
    """Such as (N, H, W, C); () for a scalar."""
    return "(" + ", ".join(sizes).replace("*", " x ") + ")"


def _allowed(attribute: contract.Attribute) -> str:
    """The values of a string, or the ends of a range of numbers."""
    if attribute.kind == "string":
        return ", ".join(f'"{value}"' for value in attribute.allowed)
    low, high = attribute.allowed
    return f"{low} to {high} each"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Of text that holds Markdown's own characters: a bar would end a cell, two asterisks begin emphasis."""
    cells = [[str(cell).replace("|", "\\|").replace("*", "\\*") for cell in row] for row in rows]
    return tabulate(cells, header, tablefmt="github", disable_numparse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file; default: docs/operators.md")
    options = parser.parse_args(arguments)
    made, file = page(), options.page
    if options.write:
        file.write_text(made)
    elif not file.is_file() or file.read_text() != made:
        print(f"{file}: expected the page of smsr/contract.py, got another; run with --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
