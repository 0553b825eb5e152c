"""What a pickle would call, from its opcodes alone, before PyTorch's restricted unpickler calls it.

That unpickler runs no foreign code, but some of the functions that it allows take as much memory as a number in the
file says: `bytearray`, the constructors of tensors and storages. No trainer's file calls them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

_CALLED = frozenset(
    ["collections.OrderedDict", "collections.Counter", "collections.defaultdict", "_codecs.encode", "torch.Size"]
    + ["torch.device", "torch.serialization._get_layout", "__builtin__.set", "builtins.set"]
    + [f"torch._utils._rebuild_{name}" for name in (
        "tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state", "sparse_tensor", "qtensor",
        "meta_tensor_no_storage", "nested_tensor", "device_tensor_from_numpy", "device_tensor_from_cpu_tensor",
    )]
)  # fmt: skip
"""What checkpoints of PyTorch call: they put together what is in the file."""
_CALLS = ("REDUCE", "NEWOBJ")
_LEGACY_PICKLES = 5
"""Of a file as before PyTorch 1.6: magic number, version, system, content, names of storages; then the numbers."""


def check_all(data: bytes) -> None:
    """Every pickle of a file in the format of before PyTorch 1.6. Raises as `check`."""
    stream = io.BytesIO(data)
    for _ in range(_LEGACY_PICKLES):
        check(stream)


def check(stream: io.BytesIO) -> None:
    """Reads one pickle. Raises pickle.UnpicklingError, which names what would be called, or says that it is damaged."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            _step(opcode, argument, stack, memo)
    except (ValueError, IndexError, KeyError, UnicodeError, OverflowError) as error:
        raise pickle.UnpicklingError("its pickled part cannot be read") from error


def _step(opcode: pickletools.OpcodeInfo, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One opcode on a stack that holds the names of globals, pickletools.markobject, and None for anything else."""
    name = opcode.name
    if name == "GLOBAL":
        stack.append(str(argument).replace(" ", "."))
    elif "PUT" in name:
        memo[int(argument)] = stack[-1]
    elif "GET" in name:
        stack.append(memo[int(argument)])
    elif name == "DUP":
        stack.append(stack[-1])
    else:
        before, after = opcode.stack_before, opcode.stack_after
        if name in _CALLS and isinstance(stack[-2], str) and stack[-2] not in _CALLED:
            raise pickle.UnpicklingError(f"GLOBAL {stack[-2]} would be called")
        if pickletools.markobject in before:
            while stack.pop() is not pickletools.markobject:
                pass
            before = before[: before.index(pickletools.markobject)]
        if before:
            del stack[-len(before) :]
        stack += [one if one is pickletools.markobject else None for one in after]
