"""smsr: sparse mask super-resolution networks, trained, exported and run fast."""

__version__ = "0.1.0"
