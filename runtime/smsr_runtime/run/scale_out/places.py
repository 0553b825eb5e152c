"""Where pictures come from and results go to: this machine's folders, or a bucket. Alone imports pyarrow.

Inside a place a file is named by a Path: a local one as usual, in a bucket `bucket/folder/name`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Sequence

from smsr_runtime.console import missing_package
from smsr_runtime.errors import OutputError, PictureError, UsageError, one_line, reason
from smsr_runtime.files import make_folder, taken, write_bytes
from smsr_runtime.media.image import read
from smsr_runtime.resources import check_file

_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class BucketError(OutputError):
    """A bucket that cannot be written to: what fails for one result fails for all."""


class Place(Protocol):
    """`root`: what INPUT or -o names. Places travel to the workers."""

    @property
    def root(self) -> Path: ...

    def shown(self, path: Path) -> str:
        """As messages and records name a file."""
        ...

    def read(self, path: Path) -> bytes:
        """Raises PictureError, MemoryLimitError."""
        ...

    def write(self, path: Path, data: bytes, *, replace: bool) -> None:
        """Whole or not at all. Raises OutputError."""
        ...

    def times(self, paths: Sequence[Path]) -> list[float | None]:
        """When each file was last changed, in seconds; None where there is none. Raises OutputError."""
        ...

    def prepare(self, folder: Path) -> None:
        """Makes a folder for results, where folders are made. Raises OutputError."""
        ...


def is_uri(text: str | None) -> bool:
    return text is not None and _URI.match(text) is not None


def open_place(text: str, option: str) -> Place:
    """option: INPUT or -o, which named it. Raises UsageError, MissingPackageError."""
    return Bucket.open(text, option) if is_uri(text) else Folder(Path(text), Path.cwd())


@dataclass(frozen=True)
class Folder:
    """Folders that every node of the cluster sees under the same names. base: what relative ones begin at."""

    root: Path
    base: Path

    def shown(self, path: Path) -> str:
        return str(path)

    def read(self, path: Path) -> bytes:
        return read(self.base / path)

    def write(self, path: Path, data: bytes, *, replace: bool) -> None:
        make_folder((self.base / path).parent)
        write_bytes(self.base / path, data, replace=replace)

    def times(self, paths: Sequence[Path]) -> list[float | None]:
        files = [self.base / path for path in paths]
        return [os.path.getmtime(file) if os.path.isfile(file) else None for file in files]

    def prepare(self, folder: Path) -> None:
        make_folder(self.base / folder)


@dataclass(frozen=True)
class Bucket:
    """What pyarrow opens by a URI, as s3://BUCKET/FOLDER or gs://BUCKET/FOLDER; system: its FileSystem."""

    system: Any
    root: Path
    scheme: str

    @classmethod
    def open(cls, uri: str, option: str) -> Bucket:
        try:
            from pyarrow import fs
        except ModuleNotFoundError as error:
            raise missing_package("--ray", "pyarrow") from error
        try:
            system, path = fs.FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
            todo = "check it, and the credentials; keys come from the environment"
            raise UsageError(
                option, "a URI of a bucket, as s3://BUCKET/FOLDER", f"{uri}: {_said(error)}", todo
            ) from error
        return cls(system, Path(path), uri.split("://", maxsplit=1)[0])

    def shown(self, path: Path) -> str:
        return f"{self.scheme}://{path.as_posix()}"

    def read(self, path: Path) -> bytes:
        try:
            check_file(self.system.get_file_info(path.as_posix()).size or 0, self.shown(path))
            with self.system.open_input_file(path.as_posix()) as stream:
                data: bytes = stream.read()
        except (OSError, ValueError) as error:
            raise PictureError(self.shown(path), "a readable file", _said(error), "check the credentials") from error
        return data

    def write(self, path: Path, data: bytes, *, replace: bool) -> None:
        """An object appears when its stream is closed; other systems get another name first, and then the right one."""
        if not replace and self.times([path])[0] is not None:
            raise taken(Path(self.shown(path)))
        name = path.as_posix()
        part = name if self._of_objects() else f"{path.parent.as_posix()}/.{path.name}.{os.getpid()}.part"
        try:
            if not self._of_objects():
                self.system.create_dir(path.parent.as_posix(), recursive=True)
            with self.system.open_output_stream(part) as stream:
                stream.write(data)
            if part != name:
                self.system.move(part, name)
        except (OSError, ValueError) as error:
            todo = "check the credentials, or choose another place with -o"
            raise BucketError(self.shown(path), "to write the result", _said(error), todo) from error

    def times(self, paths: Sequence[Path]) -> list[float | None]:
        try:
            infos = self.system.get_file_info([path.as_posix() for path in paths])
        except (OSError, ValueError) as error:
            expected, todo = "a bucket that can be looked into", "check it, and the credentials"
            raise BucketError(self.shown(self.root), expected, _said(error), todo) from error
        return [info.mtime.timestamp() if info.is_file and info.mtime else None for info in infos]

    def files(self, *, recursive: bool) -> list[Path]:
        """Below the root. Raises UsageError."""
        from pyarrow import fs

        where = self.shown(self.root)
        try:
            infos = self.system.get_file_info(fs.FileSelector(self.root.as_posix(), recursive=recursive))
        except (OSError, ValueError) as error:
            raise UsageError(
                where, "a bucket that can be read", _said(error), "check it, and the credentials"
            ) from error
        paths = [PurePosixPath(info.path) for info in infos if info.is_file]
        return [Path(path) for path in paths if not any(part.startswith(".") for part in path.parts[1:])]

    def prepare(self, folder: Path) -> None:
        """Objects need no folders; elsewhere `write` makes them."""

    def _of_objects(self) -> bool:
        return self.system.type_name in ("s3", "gcs", "abfs")


def _said(error: Exception) -> str:
    """pyarrow's errors carry an errno for what has none of the system's: its words say more."""
    return one_line(str(error)) or reason(error)


def write_once(place: Place, path: Path, data: bytes, *, replace: bool) -> None:
    """Writes a file that a worker, lost before it could say so, may have written already. Raises OutputError."""
    try:
        place.write(path, data, replace=replace)
    except OutputError:
        if replace or place.times([path])[0] is None or place.read(path) != data:
            raise
