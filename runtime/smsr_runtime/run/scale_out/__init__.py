"""smsr-run --ray: many pictures, of a folder or bucket, through Ray Data."""
