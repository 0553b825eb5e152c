"""Opens saturated masks again, at a warm start.

While lambda is small, activating a pixel always pays off, and margins grow without bound: after a few thousand steps
they are 50 and more, where the Gumbel sigmoid has no gradient left and no lambda moves them. What they have learned is
the order of the pixels. Scaled to a spread that noise of order one can flip, and shifted, they can be trained further.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smsr.network import Network

SPREAD = 2.0
"""Standard deviation of the margins afterwards; that of the difference of two Gumbel samples is 1.8."""


@torch.no_grad()
def reopen_masks(network: Network, low: Tensor, share: float) -> None:
    """Scales and shifts each module's logits so that `share` (0..1) of the pixels of `low` (N, 3, H, W) are active.

    Module by module, since each one's features depend on the masks before it. The order of pixels stays.
    """
    for index, module in enumerate(network.sparse_mask_modules):
        margin = network.infer(low).margins[index].float()
        last = module.spa_mask[5]
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        factor = SPREAD / margin.std().clamp_min(1e-6)
        last.weight *= factor
        last.bias *= factor
        last.bias[1] -= factor * torch.quantile(margin.flatten()[: 2**24], 1.0 - share)
