"""Evaluation as the super-resolution literature does it, as the command `smsr-eval`."""
