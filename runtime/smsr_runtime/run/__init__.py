"""The command smsr-run: arguments, the plan of what to make, the work."""

PROGRAM = "smsr-run"
