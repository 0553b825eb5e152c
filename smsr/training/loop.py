"""The training loop: steps, validation, checkpoints, and every reason to stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from smsr.losses import Annealing, Losses, Objective
from smsr.training import checkpoints, schedules, state
from smsr.training.batches import Batch, Batches
from smsr.training.config import VALIDATION_FLOOR, Recipe, Settings
from smsr.training.distributed import World
from smsr.training.journal import Journal
from smsr.training.noise import NoiseSource
from smsr.training.state import State
from smsr.training.stopping import GO_ON, Stopper
from smsr.training.store import Store
from smsr.training.validation import Validation, validate
from smsr_runtime.errors import SmsrError

_AGREE_EVERY = 10
"""Steps between the processes' agreements on whether to stop, which on a GPU wait for all work to end."""


class DivergedError(SmsrError):
    """The loss or a weight is not finite; the last good checkpoint is kept."""


@dataclass
class Parts:
    """Everything that a run works with; fingerprint: `Store.fingerprint` of the training images."""

    recipe: Recipe
    settings: Settings
    world: World
    device: torch.device
    state: State
    batches: Batches
    validation: Store
    journal: Journal
    fingerprint: str
    stopper: Stopper


@dataclass
class Trainer:
    """Trains from `state.step` on; `run` returns why it stopped: a stop code, GO_ON where all steps are done."""

    parts: Parts
    saved_step: int = -1
    losses: list[Tensor] = field(default_factory=list)
    logged: tuple[int, float] = (0, 0.0)

    def __post_init__(self) -> None:
        parts = self.parts
        self.samples = parts.world.samples(parts.recipe.batch)
        self.noise = NoiseSource(parts.recipe.network, parts.recipe.seed, parts.device)
        self.kind = state.precision(parts.recipe, parts.device)
        self.validate_every = parts.settings.validate_every or max(VALIDATION_FLOOR, parts.recipe.steps // 100)
        self.save_every = parts.settings.save_every or self.validate_every
        self.hard = False
        self.model = self._model()

    def run(self) -> int:
        parts, state = self.parts, self.parts.state
        self.logged, self.saved_step = (state.step, time.monotonic()), state.step or -1
        code = GO_ON
        for batch in parts.batches.run(state.step, parts.recipe.steps):
            self._step(batch)
            self._after_step()
            code = self._stop_code()
            if code:
                break
        self._check_losses()
        self._save()
        return code

    def _step(self, batch: Batch) -> None:
        parts, state = self.parts, self.parts.state
        step, recipe, device = state.step, parts.recipe, parts.device
        if not self.hard and step >= recipe.hard_from:
            self.hard, self.model = True, self._model(hard=True)
        for group in state.optimizer.param_groups:
            group["lr"] = schedules.learning_rate(recipe, step)
        scalars = (schedules.tau(recipe, step), schedules.sparsity_weight(recipe, step))
        annealing = Annealing(*(torch.full((), value, device=device) for value in scalars))
        noise = None if self.hard else self.noise.draw(step, self.samples, *batch.low.shape[-2:])
        with torch.autocast(device.type, self.kind, enabled=self.kind is not torch.float32):
            losses: Losses = self.model(batch.low, batch.high, annealing, noise)
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(losses.total).backward()
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.step += 1
        state.update_average(recipe.ema)
        self.losses.append(torch.stack([loss.detach().float() for loss in losses]))

    def _after_step(self) -> None:
        step, settings, last = self.parts.state.step, self.parts.settings, self.parts.recipe.steps
        if step % settings.log_every == 0 or step == last:
            self._log()
        if step % self.validate_every == 0 or step == last:
            self._check_losses()
            self._validate()
        if step % self.save_every == 0:
            self._check_losses()
            self._save()
        self.parts.journal.advance(step)

    def _stop_code(self) -> int:
        parts = self.parts
        if parts.world.size > 1 and parts.state.step % _AGREE_EVERY:
            return GO_ON
        return parts.world.largest(parts.stopper.code(), parts.device)

    def _check_losses(self) -> Tensor | None:
        """Mean (total, l1, sparsity) since the last check. Raises DivergedError, naming the step."""
        if not self.losses:
            return None
        losses, self.losses = torch.stack(self.losses), []
        values = losses.cpu()
        bad = (~values.isfinite().all(dim=1)).nonzero()
        if len(bad):
            step = self.parts.state.step - len(values) + int(bad[0]) + 1
            raise self._diverged(step, "a finite loss", f"{float(values[bad[0, 0], 0])}")
        return self.parts.world.mean(losses.mean(dim=0)).cpu()

    def _check_weights(self) -> None:
        """A step with a finite loss may still make infinite weights. Raises DivergedError."""
        names, weights = zip(*self.parts.state.network.named_parameters(), strict=True)
        finite = torch.stack([weight.isfinite().all() for weight in weights]).tolist()
        if not all(finite):
            raise self._diverged(
                self.parts.state.step, "finite weights", f"NaN or infinity in {names[finite.index(False)]}"
            )

    def _diverged(self, step: int, expected: str, got: str) -> DivergedError:
        last = self.parts.settings.run / checkpoints.LAST
        kept = f"{last} of step {self.saved_step} is good" if self.saved_step >= 0 else "none saved"
        todo = f"start again with a smaller --learning-rate, for instance with --init-from; {kept}"
        return DivergedError(f"step {step}", expected, got, todo)

    def _log(self) -> None:
        mean = self._check_losses()
        if mean is None:
            return
        step, recipe = self.parts.state.step, self.parts.recipe
        (before, then), now = self.logged, time.monotonic()
        speed, self.logged = (step - before) / max(now - then, 1e-9), (step, now)
        total, l1, sparsity = mean.tolist()
        scalars = {
            "loss/total": total,
            "loss/l1": l1,
            "loss/sparsity": sparsity,
            "schedule/learning_rate": schedules.learning_rate(recipe, step - 1),
            "schedule/tau": schedules.tau(recipe, step - 1),
            "schedule/lambda": schedules.sparsity_weight(recipe, step - 1),
            "speed/steps_per_second": speed,
        }
        self.parts.journal.record(step, scalars)
        self.parts.journal.advance(step, f"L1 {l1:.3f}, sparsity {sparsity:.3f}")

    def _validate(self) -> None:
        parts, state = self.parts, self.parts.state
        if parts.world.leads:
            validation = validate(state.average, parts.validation, parts.device)
            self._report(validation)
            if validation.psnr > state.best_psnr:
                state.best_psnr = validation.psnr
                self._save_best(validation)
        parts.world.wait()

    def _save_best(self, validation: Validation) -> None:
        state, run = self.parts.state, self.parts.settings.run
        facts = {"step": state.step, "psnr": validation.psnr, "active_shares": validation.work.shares}
        checkpoints.write(run / checkpoints.BEST, checkpoints.for_inference(state.average, self.parts.recipe, **facts))

    def _report(self, validation: Validation) -> None:
        step, journal, work = self.parts.state.step, self.parts.journal, validation.work
        journal.record(
            step,
            {
                "valid/psnr": validation.psnr,
                "valid/active_share": work.active_share,
                "valid/macs_per_pixel": work.remaining,
                "valid/macs_share": work.macs_share,
                **{f"active_share/module_{index}": share for index, share in enumerate(work.shares, 1)},
            },
        )
        shares = " ".join(f"{share:.2f}" for share in work.shares)
        journal.say(
            f"step {step}/{self.parts.recipe.steps}: {validation.psnr:.3f} dB with hard masks, "
            f"active {shares}, MACs {work.macs_share:.0%} of dense"
        )

    def _save(self) -> None:
        """Writes the checkpoint of this step, once. Raises DivergedError, OutputError."""
        parts = self.parts
        if parts.state.step != self.saved_step:
            self._check_weights()
            if parts.world.leads:
                content = parts.state.saved(parts.recipe, parts.fingerprint)
                checkpoints.write(parts.settings.run / checkpoints.LAST, content)
        self.saved_step = parts.state.step
        parts.world.wait()

    def _model(self, *, hard: bool = False) -> nn.Module:
        """The objective, compiled and distributed as `settings` say; hard: the weights of the masks are frozen."""
        parts = self.parts
        for name, parameter in parts.state.network.named_parameters():
            parameter.requires_grad_(not (hard and ("spa_mask" in name or "ch_mask" in name)))
        model: nn.Module = Objective(parts.state.network, hard=hard)
        if parts.settings.compile != "off":
            model = cast(nn.Module, torch.compile(model, mode=parts.settings.compile))
        if parts.world.size > 1:
            ids = [parts.device] if parts.device.type == "cuda" else None
            model = nn.parallel.DistributedDataParallel(model, device_ids=ids)
        return model
