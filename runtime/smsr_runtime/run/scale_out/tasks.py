"""What is to be made of what: a plan over places, as the ordinary run makes one of folders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from smsr_runtime.errors import UsageError
from smsr_runtime.run.jobs import STREAM, Job, Plan
from smsr_runtime.run.outputs import path_key
from smsr_runtime.run.plan import Wishes, local_plan, make_plan, plan_of
from smsr_runtime.run.scale_out.places import Bucket, Place, is_uri, open_place


@dataclass(frozen=True)
class Tasks:
    """The jobs' inputs lie in `source`, their outputs in `target`."""

    plan: Plan
    source: Place
    target: Place


def make_tasks(source: str, target: str, wishes: Wishes) -> Tasks:
    """Raises UsageError, OutputError, MissingPackageError: whatever can be refused is, before any work."""
    if STREAM in (source, target):
        raise UsageError("--ray", "files to read and to write", f"{STREAM} for a stream", "leave --ray out")
    places = open_place(source, "INPUT"), open_place(target, "-o")
    if is_uri(source) or is_uri(target):
        plan = _left(_listed(source, *places, wishes), *places, wishes)
    else:
        plan = make_plan(source, target, wishes)
    videos = [job for job in plan.jobs if job.video]
    if videos:
        more = f" and {len(videos) - 1} more" if len(videos) > 1 else ""
        todo = "upscale them without --ray, and name pictures here, as with a pattern"
        raise UsageError("--ray", "pictures, no videos", f"{places[0].shown(videos[0].input)}{more}", todo)
    return Tasks(plan, *places)


def _listed(given: str, source: Place, target: Place, wishes: Wishes) -> Plan:
    """Of a bucket or into one. Raises UsageError."""
    if not isinstance(source, Bucket):
        return local_plan(given, target.root, wishes)
    names = source.shown(source.root), target.shown(target.root)
    if f"{names[1]}/".startswith(f"{names[0]}/"):
        raise UsageError(names[1], "an output outside of the input", "one inside or the same", "name another with -o")
    files = source.files(recursive=wishes.recursive)
    return plan_of(given, files, source.root, target.root, wishes)


def _left(plan: Plan, source: Place, target: Place, wishes: Wishes) -> Plan:
    """Without what is done already. Raises UsageError where a result would overwrite something."""
    wanted = {job: [path for path in (job.output, job.masks) if path is not None] for job in plan.jobs}
    names = [path for paths in wanted.values() for path in paths]
    if len({path_key(str(path)) for path in names}) < len(names):
        raise UsageError("-o", "one result per file", "two of a name", "rename an input or drop --show-masks")
    there = dict(zip(names, target.times(names)))
    made = dict(zip(wanted, source.times([job.input for job in wanted])))

    def done(job: Job) -> bool:
        times = [there[path] for path in wanted[job]]
        return wishes.resume and all(time is not None and time >= (made[job] or 0.0) for time in times)

    jobs = [job for job in wanted if not done(job)]
    existing = [path for job in jobs for path in wanted[job] if there[path] is not None]
    if existing and not wishes.force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        where = f"{target.shown(existing[0])}{more}"
        got = "one that is older than its input" if wishes.resume else "an existing one"
        raise UsageError(where, "no such file yet", got, "add --force to overwrite, or --resume to go on")
    return replace(plan, jobs=jobs, there=len(plan.jobs) - len(jobs))
