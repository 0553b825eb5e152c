"""Image formats, one file each; `smsr_runtime.image` chooses among them."""
