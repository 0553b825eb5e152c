"""What a run has finished of a video, on disk: segment files and a journal of them, so that the next run goes on.

OUT.resume/journal.jsonl has one JSON document per line: first what the job is, then one per finished segment; each is
written and flushed to the disk after its segment's file was. A line or file that a crash has cut off does not count.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, TextIO

from smsr_runtime.errors import OutputError, UsageError, reason
from smsr_runtime.files import write_bytes
from smsr_runtime.media.video.options import Task
from smsr_runtime.media.video.segments import Segment
from smsr_runtime.media.video.source import pyav

_VERSION = 1
SEGMENT_FRAMES = 60
"""What a killed run has to make again at most."""
_AGAIN = "--resume goes on with the same INPUT, bundle and options; --force begins again"


def folder_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.resume")


def partial_name(target: Path) -> Path:
    """Such as film.partial.mp4."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


class Journal:
    """`segments`: what is finished, in order, without the packets' times, of which hours have many.

    notes: how this run differs from the one that began; continues: whether an earlier run has left anything.
    """

    def __init__(self, task: Task, facts: dict[str, Any]) -> None:
        """Locks the job, and reads what is left of an earlier run. facts: of the input.

        Raises UsageError for another job's or a running one's, OutputError.
        """
        self.folder = folder_of(task.target)
        self.segments: list[Segment] = []
        self.notes: list[str] = []
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock_file = (self.folder / "lock").open("a")
        except OSError as error:
            todo = "choose another place with -o"
            raise OutputError(self.folder, "a folder for unfinished work", reason(error), todo) from error
        try:
            _lock(self._lock_file, task)
        except BaseException:
            self._lock_file.close()
            raise
        try:
            self._begin(task, facts)
        except BaseException:
            self.close(done=not self._path.exists())
            raise

    def _begin(self, task: Task, facts: dict[str, Any]) -> None:
        header, *stored = [*self._documents()] or [{}]
        self.continues = bool(header)
        if stored and not (task.options.resume or task.options.force):
            got = f"one with {sum(document['frames'] for document in stored)} frames in {self.folder}"
            raise UsageError(task.target, "no unfinished run", got, _AGAIN)
        mine: dict[str, Any] = {
            "format": "smsr-resume",
            "format_version": _VERSION,
            "job": _job(task, facts),
            "machine": _machine(task),
        }
        if not (stored and task.options.resume):
            self._write_anew([mine])
            return
        _check_job(task, header, mine)
        self.notes += [
            f"resumed with {text}: the same video, not bit by bit"
            for text in _differences(header["machine"], mine["machine"])
        ]
        whole = self._whole(stored)
        self._write_anew([header, *(segment.as_json() for segment in whole)])
        self.segments = [replace(segment, times=[]) for segment in whole]

    def _documents(self) -> Iterator[dict[str, Any]]:
        """The journal's documents up to the first that is cut off."""
        try:
            with self._path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
        except (OSError, ValueError):  # none yet, or cut off here
            return

    def _whole(self, stored: list[dict[str, Any]]) -> list[Segment]:
        """The segments up to the first whose file is not what was written."""
        segments = [Segment(**document) for document in stored]
        numbers = (number for number, segment in enumerate(segments) if not segment.is_in(self._file(number)))
        return segments[: next(numbers, len(segments))]

    def _write_anew(self, documents: list[dict[str, Any]]) -> None:
        """Leaves these documents in the journal, and their files in the folder."""
        write_bytes(self._path, "".join(json.dumps(document) + "\n" for document in documents).encode())
        kept = {self._path.name, "lock", *(self._file(number).name for number in range(len(documents) - 1))}
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()

    def stored(self) -> Iterator[tuple[Segment, bytes]]:
        """Every finished segment with its packets' times, and its file's content."""
        documents = itertools.islice(self._documents(), 1, 1 + len(self.segments))
        for number, document in enumerate(documents):
            yield Segment(**document), self._file(number).read_bytes()

    @property
    def _path(self) -> Path:
        return self.folder / "journal.jsonl"

    def _file(self, number: int) -> Path:
        """A segment's file."""
        return self.folder / f"{number:06}.segment"

    def add(self, segment: Segment, data: bytes) -> None:
        """Keeps one more, for good. Raises OutputError."""
        write_bytes(self._file(len(self.segments)), data)
        _flush_folder(self.folder)
        line = (json.dumps(segment.as_json()) + "\n").encode()
        whole = self._path.stat().st_size + len(line)
        try:
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(self.folder, "to keep what is done", reason(error), "free some space") from error
        finally:  # a signal may come between the line and the end of this block
            if self._path.stat().st_size == whole:
                self.segments.append(replace(segment, times=[]))

    def close(self, *, done: bool = False) -> None:
        """Unlocks it. done: nothing of it is needed any more."""
        if done:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_file.close()
        if done and os.name == "nt":  # which removes no open file
            shutil.rmtree(self.folder, ignore_errors=True)


def unfinished(target: Path) -> bool:
    """Whether an earlier run has left work for this result."""
    return (folder_of(target) / "journal.jsonl").is_file()


def file_facts(source: Path) -> dict[str, Any]:
    """By which an unchanged file is known."""
    facts = source.stat()
    return {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}


def _job(task: Task, facts: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for the rest to fit what is there."""
    options = task.options
    return {
        "input": facts,
        "format": task.target.suffix.lower(),
        "video_codec": options.codec,
        "crf": options.crf,
        "deinterlace": options.deinterlace,
        "segment_frames": SEGMENT_FRAMES,
        **options.job,
    }


def _machine(task: Task) -> dict[str, Any]:
    av = pyav()
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    return {"pyav": av.__version__, "libavcodec": codecs, **task.options.machine}


def _check_job(task: Task, header: dict[str, Any], mine: dict[str, Any]) -> None:
    if header.get("format_version") != _VERSION:
        got = f"version {header.get('format_version')}"
        raise UsageError(folder_of(task.target), f"a journal of version {_VERSION}", got, _AGAIN)
    for text in _differences(header["job"], mine["job"])[:1]:
        raise UsageError(task.target, "the job that the unfinished run began", text, _AGAIN)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} {now.get(name)} in place of {before.get(name)}" for name in names]


def _lock(file: TextIO, task: Task) -> None:
    """The system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows, where two runs of one job are not noticed
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(task.target, "no other run that makes it", "one at work", "wait for its end") from error
    except OSError:  # some network file systems cannot lock
        return


def _flush_folder(folder: Path) -> None:
    """So that a crash of the machine does not lose the name of a file that is on the disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
