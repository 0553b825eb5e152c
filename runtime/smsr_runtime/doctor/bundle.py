"""What a given bundle would run on here, and why."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from smsr_runtime.bundle import read_bundle
from smsr_runtime.errors import SmsrError
from smsr_runtime.opening import make_backend
from smsr_runtime.resources import available_memory, bytes_per_pixel


@dataclass(frozen=True)
class Prognosis:
    """about: the bundle in a few words; runs: on what, or empty; why: what stands in the way, one line each."""

    about: str
    runs: str
    why: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"about": self.about, "runs": self.runs or None, "why": list(self.why)}


def examine(path: str) -> Prognosis:
    """Opens the bundle as smsr-run would, but builds no engine. Raises BundleError for what is no bundle."""
    bundle = read_bundle(path)
    about = f"{bundle.name}: x{bundle.scale}, {bundle.precision}, made for {bundle.target}"
    if bundle.engine_pending:
        about += "; its engine is pending: smsr-run builds it on its first run on a GPU (minutes)"
    why = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            backend = make_backend(bundle, "ort" if bundle.engine_pending else "auto")
        except SmsrError as error:
            return Prognosis(about, "", (str(error),))
    why += [str(warning.message) for warning in heard]
    memory = available_memory()
    per_pixel = bytes_per_pixel(backend.path, bundle.features)
    if memory is not None:
        beyond = "larger pictures are computed in strips" if backend.cuts else "larger pictures are refused"
        fit = f"{memory // per_pixel / 1e6:.1f} megapixels fit the memory whole, {beyond}"
        why.append(f"about {per_pixel} bytes per input pixel: {fit}")
    if bundle.precision != "fp32" and not backend.path.computes_in(bundle.precision):
        why.append(f"this CPU has no kernels for {bundle.precision}: float32 is computed")
    return Prognosis(about, str(backend.path), tuple(why))
