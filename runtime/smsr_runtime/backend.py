"""What computes a network: the protocol that every backend follows, and its compute path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, List, NoReturn, Protocol, Sequence, Tuple, runtime_checkable

import numpy as np

from smsr_runtime.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from smsr_runtime.strips import StripJob, Strips

    Result = Tuple[NDArray[Any], List[NDArray[np.float32]]]

OTHER_MODEL = "the model is not the manifest's: export the bundle again"
NATIVE, FUNCTION_BODY, TENSORRT = "native", "function body", "TensorRT"


@dataclass(frozen=True)
class ComputePath:
    """What runs the sparse mask modules; `str()` gives the name that tables and --json show.

    kernels: NATIVE (our CPU kernels in ONNX Runtime), FUNCTION_BODY (standard operators in ONNX Runtime) or TENSORRT.
    precision: of the multiplicands, "fp32", "bf16" or "fp16".
    variant: the instruction set of NATIVE ("avx512bf16"), the version of TENSORRT ("10.3.0"), else "".
    """

    kernels: str
    precision: str = "fp32"
    variant: str = ""

    @property
    def native(self) -> bool:
        """Whether our CPU kernels run it."""
        return self.kernels == NATIVE

    def computes_in(self, precision: str) -> bool:
        """Whether the multiplicands are of this precision: "fp32", "bf16" or "fp16"."""
        return self.precision == precision

    def __str__(self) -> str:
        """Such as "native avx512bf16", "function body", "TensorRT 10.3.0 fp16"."""
        parts = [self.kernels, self.variant, self.precision if self.kernels == TENSORRT else ""]
        return " ".join(part for part in parts if part)


class Backend(Protocol):
    """One network, ready to run. `name`: "ort" or "trt", as --backend calls it."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> ComputePath: ...

    def run(
        self, image: NDArray[np.float32], theta: float = 0.0, *, margins: bool = False
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """(N, 3, H, W) float32 0..255 -> upscaled (N, 3, sH, sW), not clamped, and margin_1..K (N, 1, H, W).

        theta: a pixel is active where margin - theta > 0. The margins come back as an empty list where not asked for.
        Raises MemoryLimitError, InputError for a size that the backend does not take, BackendError.
        """
        ...

    @property
    def cuts(self) -> bool:
        """Whether it can compute pictures in strips at all."""
        ...

    def strips(self, height: int, width: int, beside: int = 0) -> Strips | None:
        """How one picture must be cut to fit into memory beside so many other bytes; None: `run` takes it whole.

        Raises MemoryLimitError, InputError for one that cannot be computed at all.
        """
        ...

    def run_strips(self, job: StripJob, strips: Strips) -> list[NDArray[np.float32]]:
        """One picture, cut; the margins as `run` gives them. Raises BackendError, OutputError."""
        ...


@dataclass(frozen=True)
class Pending:
    """result: waits for a picture that was begun -> the picture (sH, sW, 3), and per module its margin (H, W).

    It raises what went wrong with this picture; called again, it gives or raises the same.
    """

    result: Callable[[], Result]


def failed(error: Exception) -> Pending:
    """What a picture becomes that could not be begun."""

    def result() -> NoReturn:
        raise error

    return Pending(result)


@runtime_checkable
class Queue(Protocol):
    """What a backend has beside `Backend` where it computes apart from the CPU, and takes pixels as they are.

    ahead: how many pictures should be begun ahead of the one waited for, so that no part of the machine waits.
    """

    ahead: int

    def begin(self, pixels: NDArray[Any], theta: float = 0.0, *, margins: bool = False) -> Pending:
        """Takes (H, W, 3) RGB, uint8 or uint16, and queues its work; the result has the same type.

        Pictures may be asked for in any order, or never. Raises no SmsrError: `Pending.result` does.
        """
        ...


def not_finite() -> BackendError:
    todo = "run --selftest to see if the bundle works"
    return BackendError("network", "finite numbers", "NaN or infinity", todo)


def check_outputs(where: str, task: tuple[tuple[int, ...], int], upscaled: Any, margins: Sequence[Any]) -> None:
    """Raises BackendError for outputs of another type or shape than `Backend.run` promises: a model may declare one
    shape and compute another.

    task: the image's shape (N, 3, H, W), and the scale.
    """
    (batch, _, height, width), scale = task
    shapes = [(batch, 3, scale * height, scale * width), *[(batch, 1, height, width)] * len(margins)]
    for number, (output, shape) in enumerate(zip([upscaled, *margins], shapes)):
        if isinstance(output, np.ndarray) and output.dtype == np.float32 and output.shape == shape:
            continue
        name = f"margin_{number}" if number else "upscaled"
        got = f"{output.dtype} of shape {output.shape}" if isinstance(output, np.ndarray) else type(output).__name__
        raise BackendError(where, f"{name} as float32 of shape {shape}", got, OTHER_MODEL)
