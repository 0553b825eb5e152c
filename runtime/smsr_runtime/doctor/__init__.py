"""smsr-doctor: what this machine has and lacks for each thing that smsr does on it, and what mends each lack."""

PROGRAM = "smsr-doctor"
