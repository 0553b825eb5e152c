"""The page's requests. Alone imports Starlette.

POST /upscale?theta=T, the picture's file as body, gives multipart/form-data: `record` (JSON), `result`, `masks` (PNG).
An error is {"error": ...} as --json prints it. Nothing is kept between requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, AsyncIterator, Awaitable, Callable

from smsr_runtime.console import as_smsr, missing_package
from smsr_runtime.errors import UsageError
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.serve.limits import (
    ForeignError,
    Limits,
    TooSlowError,
    UnavailableError,
    http_code,
    upload_too_large,
)
from smsr_runtime.run.serve.worker import Answer, Worker
from smsr_runtime.session import check_theta

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Served:
    """hosts: what a Host header may say, lower case; None: anything, as behind a name that is not known here."""

    worker: Worker
    limits: Limits
    hosts: frozenset[str] | None


def need_starlette() -> None:
    """Raises MissingPackageError."""
    try:
        import starlette  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing_package("--serve", "starlette") from error


def make_app(served: Served) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    desk = _Desk(served)

    @contextlib.asynccontextmanager
    async def ending(_: Starlette) -> AsyncIterator[None]:
        """A picture that is still computed at the end holds nobody up."""
        yield
        served.worker.stop()

    def file(name: str, kind: str) -> Callable[[Request], Response]:
        content = (_PAGE / name).read_bytes()
        return lambda _: Response(content, media_type=kind, headers=_HEADERS)

    async def about(request: Request) -> Response:
        return JSONResponse({**served.worker.about, "limits": served.limits.as_json()}, headers=_HEADERS)

    async def upscale(request: Request) -> Response:
        boundary = secrets.token_hex(16)
        content = _multipart(boundary, await desk.upscale(request))
        return Response(content, media_type=f"multipart/form-data; boundary={boundary}", headers=_HEADERS)

    def guarded(work: Any) -> Any:
        async def handle(request: Request) -> Response:
            try:
                _check_source(request, served.hosts)
                answer: Response | Awaitable[Response] = work(request)
                return await answer if isinstance(answer, Awaitable) else answer
            except Exception as error:
                known = as_smsr(PROGRAM, error)
                headers = {**_HEADERS, **({"Retry-After": "5"} if isinstance(known, UnavailableError) else {})}
                return JSONResponse({"error": known.as_json()}, http_code(known), headers=headers)

        return handle

    routes = [Route(path, guarded(file(*facts))) for path, facts in _FILES.items()]
    routes += [Route("/about", guarded(about)), Route("/upscale", guarded(upscale), methods=["POST"])]
    return Starlette(routes=routes, lifespan=ending)


def _check_source(request: Request, hosts: frozenset[str] | None) -> None:
    """Raises ForeignError for a page of another site: by name (DNS rebinding) or by origin (forged requests)."""
    host = request.headers.get("host", "").lower()
    if hosts is not None and host not in hosts:
        raise ForeignError("Host", " or ".join(sorted(hosts)), host or "none", "open the address that smsr-run printed")
    origin = request.headers.get("origin")
    if origin is not None and origin.lower().split("://")[-1] != host:
        raise ForeignError("Origin", f"http://{host}", origin, "open the address that smsr-run printed")


class _Desk:
    """One picture is computed at a time; a bounded number waits, in order."""

    def __init__(self, served: Served) -> None:
        self._worker, self._limits = served.worker, served.limits
        self._inside = 0
        self._turn: asyncio.Lock | None = None

    async def upscale(self, request: Request) -> Answer:
        theta = _theta(request.query_params.get("theta"), self._worker)
        self._check_length(request.headers.get("content-length"))
        if self._inside > self._limits.waiting:
            expected = f"at most {self._limits.waiting} requests waiting"
            raise UnavailableError("queue", expected, "one more", "try again in a few seconds")
        self._inside += 1
        try:
            return await self._served(request, theta)
        finally:
            self._inside -= 1

    async def _served(self, request: Request, theta: float) -> Answer:
        from starlette.concurrency import run_in_threadpool

        data = await self._body(request)
        start = time.perf_counter()
        self._turn = self._turn or asyncio.Lock()  # here: before Python 3.10 it belongs to the loop it is made in
        async with self._turn:
            if await request.is_disconnected():
                raise UnavailableError("request", "a client that waits", "one that left", "ask again")
            waited = time.perf_counter() - start
            answer = await run_in_threadpool(self._worker.upscale, data, theta)
        answer.record["waited"] = round(waited, 4)
        return answer

    def _check_length(self, length: str | None) -> None:
        if length is not None and length.isdigit() and int(length) > self._limits.upload:
            raise upload_too_large(self._limits, length)

    async def _body(self, request: Request) -> bytes:
        """Raises TooLargeError, TooSlowError."""
        try:
            return await asyncio.wait_for(self._read(request.stream()), self._limits.seconds)
        except asyncio.TimeoutError:
            expected = f"the whole file within {self._limits.seconds:g} s"
            raise TooSlowError("upload", expected, "a part", "try again, or use smsr-run itself") from None

    async def _read(self, stream: AsyncIterator[bytes]) -> bytes:
        data = bytearray()
        async for piece in stream:
            data += piece
            if len(data) > self._limits.upload:
                raise upload_too_large(self._limits, "more")
        return bytes(data)


def _theta(text: str | None, worker: Worker) -> float:
    """Raises UsageError."""
    if text is None:
        return float(worker.about["theta"])
    try:
        return check_theta(float(text))
    except ValueError:
        raise UsageError("theta", "a finite number", repr(text), "0 is the trained value") from None


def _multipart(boundary: str, answer: Answer) -> bytes:
    """As browsers' formData() reads it."""
    parts = (
        ("record", "record.json", "application/json", json.dumps(answer.record).encode()),
        ("result", "result.png", "image/png", answer.result),
        ("masks", "result.masks.png", "image/png", answer.masks),
    )
    pieces: list[bytes] = []
    for name, file, kind, data in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        pieces += [f"{head}Content-Type: {kind}\r\n\r\n".encode(), data, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])
