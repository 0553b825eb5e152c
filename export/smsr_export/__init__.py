"""smsr_export: from a trained checkpoint to a bundle that runs fast anywhere."""
