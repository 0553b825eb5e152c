"""Image formats, one file each; `smsr_runtime.media.image` chooses among them."""
