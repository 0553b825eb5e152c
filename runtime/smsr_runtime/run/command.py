"""The command: smsr-run BUNDLE INPUT -o OUTPUT, or python runtime/run.py of a bare copy."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from dataclasses import replace
from typing import Any, Sequence

from smsr_runtime.bundle import ENGINE, read_bundle
from smsr_runtime.console import INTERRUPTED, put, run_command, say
from smsr_runtime.dial import theta_of
from smsr_runtime.errors import SmsrError, UsageError
from smsr_runtime.governor import Target
from smsr_runtime.media.image import Saving
from smsr_runtime.media.video.options import VideoOptions
from smsr_runtime.resources import limited
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.jobs import STREAM, Plan
from smsr_runtime.run.opening import Opening, open_bundle
from smsr_runtime.run.options import check_quality, live_job, parse, split, theta_target
from smsr_runtime.run.plan import Wishes, make_plan
from smsr_runtime.run.scale_out.command import run_tasks
from smsr_runtime.run.scale_out.tasks import make_tasks
from smsr_runtime.run.serve.limits import Limits
from smsr_runtime.run.serve.server import Address, serve
from smsr_runtime.run.settings import Settings
from smsr_runtime.run.work import make_live, run_plan
from smsr_runtime.selftest import self_test
from smsr_runtime.session import Upscaler
from smsr_runtime.sizes import Wanted
from smsr_runtime.tensorrt.options import EngineOptions, parse_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    document: dict[str, Any] = {"format": "smsr-run", "format_version": 1}
    switches, _ = split(given)
    quiet = "--quiet" in switches

    def keep(error: SmsrError) -> None:
        document["error"] = error.as_json()

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: None if quiet else _say(f"warning: {message}")
        warnings.simplefilter("default")
        code = run_command(PROGRAM, lambda: _run(given, document), debug="--debug" in switches, on_error=keep)
    if "--json" in switches and code != INTERRUPTED:
        return _print_json(document, code)
    return code


def _run(given: list[str], document: dict[str, Any]) -> int:
    options = parse(given)
    if options.serve:
        return _serve(options)
    if options.ray is not None:
        return _scale_out(options, document)
    plan, live = None, live_job(options)
    if options.input is not None and live is None:
        plan = make_plan(options.input, options.output, _wishes(options))
        check_quality(options.quality, plan.jobs)
    target = theta_target(options, live, plan.jobs if plan else [])
    upscaler = open_bundle(_opening(options))
    document.update(_about(upscaler))
    if options.selftest:
        document["selftest"] = _selftest(upscaler, options)
    settings = _settings(options, target)
    if live is not None:
        with limited(upscaler.memory):
            document.update(files=[make_live(upscaler, live, settings)], failed=0)
        return 0
    if plan is None:
        return 0
    for note in () if options.quiet else plan.notes:
        _say(f"note: {note}")
    with limited(upscaler.memory):
        records = run_plan(upscaler, plan, settings)
    return _summed_up(records, plan, options, document)


def _summed_up(records: list[dict[str, Any]], plan: Plan, options: argparse.Namespace, document: dict[str, Any]) -> int:
    """The exit code."""
    failed = sum(1 for record in records if record["error"])
    document.update(files=records, failed=failed, skipped=plan.skipped, there=plan.there, notes=list(plan.notes))
    if (len(records) > 1 or plan.there) and (failed or not options.quiet):
        rest = f", {plan.skipped} other files skipped" if plan.skipped else ""
        rest += f", {plan.there} were there already" if plan.there else ""
        _say(f"{len(records) - failed} of {len(records)} files done, {failed} failed{rest}")
    return 1 if failed else 0


def _serve(options: argparse.Namespace) -> int:
    limits = Limits.parse(options.max_upload, options.max_megapixels, options.time_limit, options.max_waiting)
    serve(_opening(options), Address.parse(options.host, options.port), limits)
    return 0


def _scale_out(options: argparse.Namespace, document: dict[str, Any]) -> int:
    tasks = make_tasks(options.input, options.output, _wishes(options))
    check_quality(options.quality, tasks.plan.jobs)
    opening = replace(_opening(options), bundle=os.path.abspath(options.bundle), threads=options.threads or 1)
    bundle = read_bundle(opening.bundle)
    document.update(bundle=str(bundle.path), name=bundle.name, scale=bundle.scale, theta=opening.theta)
    for note in () if options.quiet else tasks.plan.notes:
        _say(f"note: {note}")
    records = run_tasks(tasks, opening, options.ray, _settings(options, None))
    return _summed_up(records, tasks.plan, options, document)


def _wishes(options: argparse.Namespace) -> Wishes:
    return Wishes(options.format, options.show_masks, options.force, options.recursive, options.resume)


def _opening(options: argparse.Namespace) -> Opening:
    theta = options.theta if options.dial is None else _dialled(options)
    engine = _engine(options)
    return Opening(options.bundle, options.threads, options.backend, theta, engine, options.memory, options.quiet)


def _dialled(options: argparse.Namespace) -> float:
    """Before any engine is built. Raises UsageError."""
    bundle = read_bundle(options.bundle, unchecked=[ENGINE] if options.rebuild else [])
    return theta_of(bundle.path, bundle.manifest, options.dial)


def _settings(options: argparse.Namespace, target: Target | None) -> Settings:
    replace = options.force or options.resume
    video = VideoOptions(options.video_codec, options.crf, options.deinterlace, options.resume, options.force, replace)
    return Settings(options.quiet, options.json, options.debug, video, _saving(options), target, options.stats, replace)


def _engine(options: argparse.Namespace) -> EngineOptions:
    wanted = Wanted.parse(options.min_shape, options.opt_shape, options.max_shape)
    if wanted != Wanted() and not options.rebuild:
        raise UsageError("--min-shape, --opt-shape, --max-shape", "--rebuild with them", "none", "add --rebuild")
    workspace = parse_workspace(options.workspace)
    say = _quiet if options.quiet else _say
    return EngineOptions(rebuild=options.rebuild, wanted=wanted, workspace=workspace, say=say)


def _saving(options: argparse.Namespace) -> Saving:
    return Saving(options.quality or Saving.quality, options.strip_metadata)


def _quiet(_: str) -> None:
    """Takes the place of `_say` under --quiet."""


def _about(upscaler: Upscaler) -> dict[str, Any]:
    return {
        "bundle": str(upscaler.bundle.path),
        "name": upscaler.bundle.name,
        "scale": upscaler.scale,
        "theta": upscaler.theta,
        "backend": upscaler.backend,
        "path": upscaler.path,
    }


def _selftest(upscaler: Upscaler, options: argparse.Namespace) -> dict[str, Any]:
    result = self_test(upscaler.bundle, upscaler.opened)
    if not options.quiet:
        text = f"self-test passed: {upscaler.path}, {result.seconds:.3f} s, {result}"
        put(text, sys.stderr if options.json or options.output == STREAM else sys.stdout)
    return {
        "passed": True,
        "path": upscaler.path,
        "seconds": round(result.seconds, 4),
        "max_abs": result.max_abs,
        "rmse": result.rmse,
        "strips_max_abs": result.strips_max_abs,
        "allowed": result.allowed,
    }


def _print_json(document: dict[str, Any], code: int) -> int:
    """The exit code: 1 where the document could not be written."""
    lines = json.dumps({**document, "exit_code": code}, indent=2).replace("\x7f", "\\u007f")  # as all of C0 and C1
    return run_command(PROGRAM, lambda: put(lines, sys.stdout)) or code


def _say(text: str) -> None:
    say(PROGRAM, text)
