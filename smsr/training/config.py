"""What a training run is (Recipe: written into every checkpoint) and how it is carried out (Settings)."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

from smsr import contract
from smsr.network_config import NetworkConfig
from smsr_runtime.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RATE_SCHEDULES = ("halving", "cosine")
TAU_SCHEDULES = ("paper", "constant")
COMPILE_MODES = ("off", "default", "max-autotune-no-cudagraphs", "reduce-overhead")
LOW_IMAGES = ("auto", "made")
VALIDATION_FLOOR = 250
"""Steps between validations, at least, unless --validate-every says otherwise: in short runs they would take longer
than the steps."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the resulting weights; the defaults are the paper's (SMSR, section 4.1).

    patch: side of the low-resolution patch; it shrinks to what the data allow, not below min_patch;
    sparsity_weight: lambda, reached linearly over the first sparsity_ramp of the steps; hard_share: this share of
    the steps, at the end, trains with the hard masks of inference (0: the paper); hold_out: images held out for
    validation where there is no folder of them, -1: one in fifty, at most 100; init_from: name and SHA-256 of a
    warm start; reopen_masks: share of pixels active after it (reopen.py), 0: masks as they come; fit_tail: patches
    on which a tail that the warm start does not have is fitted (tail.py), 0: it starts random.
    """

    scale: int = 2
    features: int = 64
    modules: int = 5
    layers: int = 4
    steps: int = 1_000_000
    batch: int = 16
    patch: int = 96
    min_patch: int = 32
    learning_rate: float = 2e-4
    rate_schedule: str = "halving"
    sparsity_weight: float = 0.1
    sparsity_ramp: float = 0.05
    tau_schedule: str = "paper"
    hard_share: float = 0.0
    ema: float = 0.999
    precision: str = "auto"
    low_images: str = "auto"
    hold_out: int = -1
    seed: int = 0
    reopen_masks: float = 0.0
    fit_tail: int = 0
    init_from: str = ""

    def __post_init__(self) -> None:
        for name in ("features", "modules", "layers", "steps", "batch", "patch", "min_patch"):
            _check(name, getattr(self, name) >= 1, "1 or more", getattr(self, name))
        _check("scale", self.scale in contract.SCALES, f"one of {contract.SCALES}", self.scale)
        _check("learning_rate", 0 < self.learning_rate < math.inf, "more than 0", self.learning_rate)
        _check("sparsity_weight", 0 <= self.sparsity_weight < math.inf, "0 or more", self.sparsity_weight)
        _check("sparsity_ramp", 0 < self.sparsity_ramp <= 1, "more than 0, at most 1", self.sparsity_ramp)
        _check("hard_share", 0 <= self.hard_share <= 1, "0..1", self.hard_share)
        _check("ema", 0 <= self.ema < 1, "at least 0 and below 1", self.ema)
        _check("hold_out", self.hold_out >= -1 and self.hold_out != 0, "-1, or 1 or more", self.hold_out)
        _check("reopen_masks", 0 <= self.reopen_masks < 1, "at least 0 and below 1", self.reopen_masks)
        _check("fit_tail", self.fit_tail >= 0, "0 or more", self.fit_tail)
        _check("seed", self.seed >= 0, "0 or more", self.seed)
        multiple = contract.CHANNEL_ATTENTION_REDUCTION
        _check("features", self.features % multiple == 0, f"a multiple of {multiple}", self.features)

    @property
    def network(self) -> NetworkConfig:
        return NetworkConfig(self.scale, self.features, self.modules, self.layers)

    @property
    def hard_from(self) -> int:
        """First step that trains with hard masks."""
        return self.steps - round(self.steps * self.hard_share)


@dataclass(frozen=True)
class Settings:
    """How a run is carried out; none of this changes what is learned, except by rounding.

    data, valid: folders of high-resolution images, or ZIP files of them; time_limit: minutes, 0: none;
    *_every: steps, 0 for validate_every: a hundredth of the run, but at least `VALIDATION_FLOOR`; 0 for save_every: at
    each validation.
    """

    data: tuple[Path, ...]
    run: Path
    valid: Path | None = None
    init_from: Path | None = None
    export_weights: Path | None = None
    resume: bool = False
    device: str = "auto"
    workers: int = 2
    threads: int = 0
    cache: str = "auto"
    compile: str = "off"
    channels_last: bool = False
    data_on_device: bool = False
    time_limit: float = 0.0
    validate_every: int = 0
    save_every: int = 0
    log_every: int = 100

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "time_limit", "validate_every", "save_every"):
            _check(name, getattr(self, name) >= 0, "0 or more", getattr(self, name))
        _check("log_every", self.log_every >= 1, "1 or more", self.log_every)
        if self.export_weights is not None:
            suffix = self.export_weights.suffix
            _check(
                "export_weights", suffix == ".safetensors", "a name ending in .safetensors", str(self.export_weights)
            )


def _check(name: str, valid: object, expected: str, got: object) -> None:
    if not valid:
        raise UsageError(f"--{name.replace('_', '-')}", expected, str(got), "see smsr-train --help")


def as_json(recipe: Recipe) -> str:
    return json.dumps(dataclasses.asdict(recipe), indent=2)


def differences(recorded: dict[str, object], recipe: Recipe) -> list[str]:
    """How a recorded recipe differs from this one: "name: X there, Y here" per field.

    A recipe recorded before a field existed was carried out as the field's default says.
    """
    defaults = {name: field.default for name, field in Recipe.__dataclass_fields__.items()}
    there, now = defaults | recorded, dataclasses.asdict(recipe)
    return [
        f"{name}: {there[name]} there, {now.get(name)} here" for name in sorted(there) if there[name] != now.get(name)
    ]
