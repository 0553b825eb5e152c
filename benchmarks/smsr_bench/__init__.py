"""smsr_bench: measures what a bundle is worth against its rivals, in one run."""
