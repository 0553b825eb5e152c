"""The command smsr-doctor: looks, prints a table or JSON; exit code 0 where bundles (or BUNDLE) run here, else 1."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Sequence

import smsr_runtime
from smsr_runtime.console import put, run_command
from smsr_runtime.doctor import PROGRAM, cpu, gpu, machine, packages
from smsr_runtime.doctor.bundle import Prognosis, examine
from smsr_runtime.doctor.finding import CPU, TARGETS, Finding

_GROUPS = {"machine": machine, "CPU": cpu, "NVIDIA GPU": gpu, "packages": packages}
_MARKS = {True: "ok", False: "--", None: "  "}


def main(given: Sequence[str] | None = None) -> int:
    return run_command(PROGRAM, lambda: _examine(_parser().parse_args(given)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM, description="What this machine has and lacks for smsr, and the command that mends each lack."
    )
    parser.add_argument("--bundle", metavar="B", help="what this bundle would run on here, and why")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {smsr_runtime.__version__}")
    return parser


def _examine(options: argparse.Namespace) -> int:
    prognosis = examine(options.bundle) if options.bundle else None
    groups = {name: module.findings() for name, module in _GROUPS.items()}
    ready = targets([finding for findings in groups.values() for finding in findings])
    works = bool(prognosis.runs) if prognosis else not ready[CPU]
    put(_as_json(groups, ready, prognosis) if options.json else _as_text(groups, ready, prognosis), sys.stdout)
    return 0 if works else 1


def targets(findings: Sequence[Finding]) -> dict[str, list[str]]:
    """Per target what it lacks; nothing: it works here."""
    lacks = [finding for finding in findings if finding.ok is False]
    return {target: [finding.name for finding in lacks if target in finding.needed_by] for target in TARGETS}


def _as_json(groups: dict[str, list[Finding]], ready: dict[str, list[str]], prognosis: Prognosis | None) -> str:
    whole: dict[str, Any] = {name: [finding.as_json() for finding in group] for name, group in groups.items()}
    whole["targets"] = {target: {"ready": not lacks, "lacks": lacks} for target, lacks in ready.items()}
    if prognosis:
        whole["bundle"] = prognosis.as_json()
    return json.dumps(whole, indent=1)


def _as_text(groups: dict[str, list[Finding]], ready: dict[str, list[str]], prognosis: Prognosis | None) -> str:
    lines = []
    for name, group in groups.items():
        lines += [f"{name}:", *(line for finding in group for line in _lines(finding)), ""]
    lines += ["This machine can:"]
    for target, lacks in ready.items():
        lines.append(f"  {_MARKS[not lacks]} {TARGETS[target]}" + (f": lacks {', '.join(lacks)}" if lacks else ""))
    if prognosis:
        where = f"runs on {prognosis.runs}" if prognosis.runs else "does not run here"
        lines += [
            "",
            prognosis.about,
            f"  {_MARKS[bool(prognosis.runs)]} {where}",
            *(f"     {w}" for w in prognosis.why),
        ]
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    lines = [f"  {_MARKS[finding.ok]} {finding.name}: {finding.value}"]
    return [*lines, f"       {finding.remedy}"] if finding.ok is False and finding.remedy else lines
