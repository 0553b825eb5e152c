"""Schedules over a run, as the paper's over its 1000 epochs; a shorter run goes through all of them faster.

An epoch here is a thousandth of the run: the paper's is 1000 batches of a million.
"""

from __future__ import annotations

import math

from smsr.training.config import Recipe

EPOCHS = 1000


def epoch(step: int, steps: int) -> int:
    """Epoch 1..1000 of a step 0..steps - 1."""
    return 1 + step * EPOCHS // steps


def learning_rate(recipe: Recipe, step: int) -> float:
    """Halved every 200 epochs (SMSR, section 4.1), or a cosine down to a thousandth."""
    if recipe.rate_schedule == "cosine":
        share = step / recipe.steps
        return float(recipe.learning_rate * (0.001 + 0.999 * 0.5 * (1.0 + math.cos(math.pi * share))))
    return float(recipe.learning_rate * 0.5 ** ((epoch(step, recipe.steps) - 1) // 200))


def tau(recipe: Recipe, step: int) -> float:
    """Temperature of the Gumbel softmax: max(1 - (epoch - 1)/500, 0.4), or always 1, as the authors' code has it."""
    if recipe.tau_schedule == "constant":
        return 1.0
    return max(1.0 - (epoch(step, recipe.steps) - 1) / 500.0, 0.4)


def sparsity_weight(recipe: Recipe, step: int) -> float:
    """Lambda, from 0 linearly to its value over the first 50 epochs (`sparsity_ramp`)."""
    ramp = recipe.sparsity_ramp * EPOCHS
    return recipe.sparsity_weight * min((epoch(step, recipe.steps) - 1) / ramp, 1.0)
