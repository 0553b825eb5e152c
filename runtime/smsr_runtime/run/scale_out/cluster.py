"""The cluster: reached or started, given pictures through Ray Data, asked again for what failed. Alone imports Ray."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import warnings
from typing import Any, Callable, Iterator, Sequence

from smsr_runtime.console import missing_package
from smsr_runtime.errors import BackendError, UsageError, one_line, reason
from smsr_runtime.run.jobs import Job
from smsr_runtime.run.scale_out.tasks import Tasks
from smsr_runtime.run.scale_out.worker import Task, Worker, failed, row_of

LOCAL = "local"
RETRIES = 2
"""Rounds after the first, with the files that failed or were lost; what a lost worker did Ray itself repeats once."""
_LOST = f"{1 + RETRIES} rounds ended with lost workers, as for their memory: try it without --ray"
_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\]):(\d+)", re.IGNORECASE)
_REACHED_WITHIN = 10
"""Seconds."""
_ROWS = 8
"""Files that a worker is given at a time; a lost worker's are done again."""
_HANDED_ON = ("SMSR_ORT_LIBRARY", "SMSR_CPU", "SMSR_TRT_LIBRARY", "SMSR_CUDA_GRAPH", "ORT_DISABLE_TELEMETRY")
"""What the environment says of computing, for workers on other machines too."""

Seen = Callable[["dict[str, Any]"], None]


def check_address(address: str) -> None:
    """Raises UsageError: the next word on the command line may have been taken for an address.

    Ray Data does not run through Ray's client, ray://.
    """
    if address not in (LOCAL, "auto") and not _ADDRESS.fullmatch(address):
        expected = "HOST:6379 of a cluster that this machine is part of, auto, or nothing for a Ray of its own"
        raise UsageError("--ray", expected, repr(address), "write --ray last, or --ray=ADDRESS")


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yields Ray's module; what Ray prints goes to stderr. Raises MissingPackageError, BackendError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report usage over the network
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        name = (error.name or "ray").split(".")[0]
        raise missing_package("--ray", name if name in ("ray", "pyarrow") else "ray") from error
    _check_reachable(address)
    handed = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        quiet["include_dashboard"] = False
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # what Ray's versions deprecate of each other
        try:
            with _own_sigterm():
                ray.init(address, runtime_env={"env_vars": handed}, **quiet)
        except Exception as error:  # Ray has no base class of its own for them
            raise _unreachable(address, one_line(str(error), 300)) from error
        try:
            _quieten(ray)
            yield ray
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM's handler; this command's own gives the usual exit code."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """Before Ray tries, which takes minutes and many lines."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), _REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:  # OverflowError: no such port
        raise _unreachable(address, reason(error)) from error


def _unreachable(address: str, got: str) -> BackendError:
    todo = "start one with `ray start --head`, or leave the address out for a Ray of its own"
    return BackendError("--ray", f"a Ray cluster at {address}", got, todo)


def upscale_all(ray: Any, tasks: Tasks, task: Task, processors: int, seen: Seen) -> list[dict[str, Any]]:
    """One record per job, in order; seen: takes each once its job is done or given up. processors: of one worker.

    Raises UsageError, BackendError where the cluster has no room for a worker or cannot open the bundle, or the bucket
    cannot be written to.
    """
    _check_room(ray, task, processors)
    records: dict[Job, dict[str, Any]] = {}
    left = list(tasks.plan.jobs)
    for attempt in range(1 + RETRIES):
        for job, record, fatal in _round(ray, left, task, processors, alone=attempt > 0):
            if fatal and not records:
                _give_up(record)
            records[job] = record
            if not record["error"]:
                seen(record)
        left = [job for job in left if job not in records or records[job]["error"]]
        if not left:
            break
    for job in left:
        lost = BackendError(tasks.source.shown(job.input), "a worker that finishes it", "none", _LOST)
        seen(records.setdefault(job, failed(tasks.source, job, lost)))
    return [records[job] for job in tasks.plan.jobs]


def _check_room(ray: Any, task: Task, processors: int) -> None:
    """Ray would wait for a machine that is large enough."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = int(max(one.get("CPU", 0) for one in resources))
    if processors > most:
        expected = f"at most the {most} processors of the cluster's largest machine"
        raise UsageError("--threads", expected, str(processors), "they are those of one worker")
    if task.opening.backend == "trt" and not any(one.get("GPU", 0) for one in resources):
        raise BackendError("--backend trt", "a GPU in the Ray cluster", "none", "start a machine with one")


def _give_up(record: dict[str, Any]) -> None:
    """Nothing more is computed where no worker can open the bundle, or write into the bucket. Raises BackendError."""
    error = record["error"]
    raise BackendError(error["where"], error["expected"], error["got"], error["todo"])


def _round(
    ray: Any, jobs: Sequence[Job], task: Task, processors: int, *, alone: bool
) -> Iterator[tuple[Job, dict[str, Any], bool]]:
    """What came back, and whether all others will fail alike; a job whose worker was lost, and lost again, does not.

    alone: each job by itself.
    """
    by_row = {json.dumps(row_of(job)): job for job in jobs}
    workers = max(1, min(len(jobs), int(ray.cluster_resources().get("CPU", 1)) // processors))
    rows = 1 if alone else max(1, min(_ROWS, len(jobs) // (4 * workers)))
    data = ray.data.from_items([row_of(job) for job in jobs], override_num_blocks=-(-len(jobs) // rows)).map(
        Worker,
        fn_constructor_args=(task,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=processors,
        num_gpus=1 if task.opening.backend == "trt" else None,
        ray_remote_args_fn=_once_more,
    )
    try:
        for row in data.iter_rows():
            yield by_row[row["job"]], json.loads(row["record"]), bool(row["fatal"])
    except ray.exceptions.RayError as error:  # no worker could be started at all
        got, todo = one_line(str(error), 600), "try one file without --ray"
        raise BackendError("--ray", "workers that start", got, todo) from error


def _once_more() -> dict[str, Any]:
    """Ray Data's own default repeats for ever a picture that its worker does not survive."""
    return {"max_task_retries": 1}


def _quieten(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
