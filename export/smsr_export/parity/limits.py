"""Whether a path's numbers are within a precision's limits (`contract.TOLERANCES`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smsr import contract
from smsr_export.parity.rows import ParityRow, summary


def failures(rows: Sequence[ParityRow], allowed: contract.Tolerance) -> Iterator[str]:
    """Each limit that one path's rows together broke, in words."""
    total = summary(rows)
    most_flips = max(allowed.min_flips, int(allowed.flips * total.mask_pixels))
    # "not <=" and not ">": a NaN must fail
    if not total.flips <= most_flips:
        yield f"{total.path}: {total.flips} mask flips of {total.mask_pixels}, allowed {most_flips}"
    if allowed.max_abs is not None and not total.max_abs <= allowed.max_abs:
        yield f"{total.path}: outputs differ by {total.max_abs:.2e}, allowed {allowed.max_abs:.0e}"
    if allowed.rmse is not None and not total.rmse <= allowed.rmse:
        yield f"{total.path}: RMSE {total.rmse:.3f}, allowed {allowed.rmse}"
    if total.psnr is not None and total.psnr_torch is not None:
        drop = 0.0 if total.psnr == total.psnr_torch else abs(total.psnr - total.psnr_torch)  # both may be infinite
        if not drop <= allowed.psnr_db:
            yield f"{total.path}: PSNR differs by {drop:.4f} dB, allowed {allowed.psnr_db}"
