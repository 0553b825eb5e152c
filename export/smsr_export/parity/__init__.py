"""Parity: the bundle, run by the code that ships, against PyTorch float32 with hard masks (docs/design.md, Parity)."""
