"""An estimate as text and as JSON, and what it advises."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from smsr.complexity import ModuleMacs, Work
from smsr_export.estimate.speed import Speed
from smsr_export.estimate.work import Measured

PAYS = 1.1
"""Times as fast as the dense network from which on sparse is worth its trouble; below it lies within the noise."""


@dataclass(frozen=True)
class Estimate:
    """modules: MACs of each; work: over all samples."""

    network: str
    material: Path
    samples: Sequence[Measured]
    modules: Sequence[ModuleMacs]
    work: Work
    speed: Speed

    @property
    def use_dense(self) -> bool:
        return self.speed.ratio < PAYS

    @property
    def advice(self) -> str:
        """One sentence."""
        times = f"{self.speed.ratio:.2f} times as fast as the dense network"
        if not self.use_dense:
            doubt = "" if min(self.speed.ratios) >= PAYS else ", but not in every round: repeat it undisturbed"
            return f"sparse pays here: expect {times}{doubt}"
        if not self.speed.native:
            return f"use dense, or build the native library (make native): on the {self.speed.path} sparse is {times}"
        return f"use dense: on this material sparse is {times}"

    def as_json(self) -> dict[str, object]:
        """The document of --json (docs/interfaces.md)."""
        work, speed = self.work, self.speed
        return {
            "format": "smsr-estimate",
            "format_version": 1,
            "network": self.network,
            "material": str(self.material),
            "samples": [
                {"name": one.sample.name, "size": list(one.sample.size), "active": one.shares} for one in self.samples
            ],
            "active": list(work.shares),
            "macs": {"dense_per_pixel": work.dense, "remaining_per_pixel": work.remaining, "share": work.macs_share},
            "speed": {**dataclasses.asdict(speed), "size": list(speed.size), "ratio": speed.ratio},
            "use_dense": self.use_dense,
        }

    def text(self) -> str:
        """For people."""
        return "\n\n".join([self._head(), self._table(), self._macs(), self._times(), self.advice])

    def _head(self) -> str:
        names = [f"{one.sample.name} {one.sample.size[1]}x{one.sample.size[0]}" for one in self.samples]
        return f"{self.network} on {self.material}: {len(names)} sampled ({'; '.join(names)})"

    def _table(self) -> str:
        rows = [
            [number, f"{share:.3f}", f"{lowest:.3f} to {highest:.3f}", f"{module.at(share) / module.active:.3f}"]
            for number, (share, lowest, highest, module) in enumerate(self._modules(), 1)
        ]
        head = ["module", "active share", "over the samples", "of its dense MACs"]
        return tabulate(rows, head, disable_numparse=True, colalign=("right",) * 4)

    def _modules(self) -> list[tuple[float, float, float, ModuleMacs]]:
        """Per module its share, the lowest and highest of the samples', and its MACs."""
        per_module = list(zip(*(one.shares for one in self.samples), strict=True))
        facts = zip(self.work.shares, per_module, self.modules, strict=True)
        return [(share, min(shares), max(shares), module) for share, shares, module in facts]

    def _macs(self) -> str:
        work = self.work
        thousands = f"{work.remaining / 1000:.0f} of {work.dense / 1000:.0f} thousand MACs per pixel"
        return f"active share {work.active_share:.3f}; {thousands}: {1 - work.macs_share:.0%} saved against dense"

    def _times(self) -> str:
        speed = self.speed
        sparse, dense = (sorted(seconds)[len(seconds) // 2] * 1000 for seconds in (speed.sparse, speed.dense))
        lowest, highest = min(speed.ratios), max(speed.ratios)
        return (
            f"timed in turns on a crop {speed.size[1]}x{speed.size[0]} of {speed.name} (active share "
            f"{speed.active_share:.3f}): {speed.path} {sparse:.0f} ms, dense in ONNX Runtime {dense:.0f} ms; "
            f"{speed.ratio:.2f} times as fast ({lowest:.2f} to {highest:.2f} in {len(speed.ratios)} rounds)"
        )
