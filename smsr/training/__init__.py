"""Training: the paper's recipe (SMSR, section 4.1), as the command `smsr-train`."""
