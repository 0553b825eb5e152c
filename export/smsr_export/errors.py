"""The exporter's errors: the tree of `smsr.errors`, and the runtime's own, shown the same way."""

from __future__ import annotations

from smsr.errors import CheckpointError, DataError, ExportError, ParityError, SmsrError, UsageError

__all__ = ["CheckpointError", "DataError", "ExportError", "ParityError", "SmsrError", "UsageError", "from_os"]


def from_os(error: OSError, where: object, todo: str) -> ExportError:
    """One line for a full disk, a missing permission and their like."""
    return ExportError(error.filename or where, "to write the bundle", error.strerror or str(error), todo)
