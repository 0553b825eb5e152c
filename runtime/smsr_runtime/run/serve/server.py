"""The server of the page, from the port until Ctrl-C or SIGTERM. Alone imports uvicorn."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import signal
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.console import missing_package, say, show
from smsr_runtime.errors import UsageError, reason
from smsr_runtime.run import PROGRAM
from smsr_runtime.run.opening import Opening
from smsr_runtime.run.serve.app import Served, make_app, need_starlette
from smsr_runtime.run.serve.limits import Limits
from smsr_runtime.run.serve.worker import Worker

LOOPBACK, PORT = "127.0.0.1", 8000
_MOST_CONNECTIONS = 100
_GRACE = 2
"""Seconds that a picture has to be finished in after Ctrl-C."""


@dataclass(frozen=True)
class Address:
    """port: 0 for any that is free."""

    host: str = LOOPBACK
    port: int = PORT

    @classmethod
    def parse(cls, host: str | None, port: int | None) -> Address:
        """As the command line states it; None: the default. Raises UsageError."""
        if port is not None and not 0 <= port <= 65535:
            raise UsageError("--port", "0 to 65535", str(port), f"{PORT} is the default")
        return cls(LOOPBACK if host is None else host, PORT if port is None else port)


def serve(opening: Opening, address: Address, limits: Limits) -> None:
    """Until Ctrl-C or SIGTERM. Raises UsageError for an address that cannot be had, what `load` raises, and
    MissingPackageError."""
    need_starlette()
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise missing_package("--serve", "uvicorn") from error
    with contextlib.closing(_listening(address)) as listener, _working(opening, limits) as worker:
        host, port = listener.getsockname()[:2]
        local = ipaddress.ip_address(host).is_loopback
        app = make_app(Served(worker, limits, _names(host, port) if local else None))
        config: dict[str, Any] = {"lifespan": "on", "http": "h11", "ws": "none", "loop": "asyncio"}
        config.update(log_level="critical", server_header=False, access_log=False, proxy_headers=False)
        config.update(limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=_GRACE)
        if not local:
            say(PROGRAM, f"warning: {host} is reached from other machines, and nobody is asked for a password")
        show(f"http://{_in_url(host)}:{port}/  {worker.about['name']} x{worker.about['scale']}, {worker.about['path']}")
        if not opening.quiet:
            say(PROGRAM, "Ctrl-C ends it")
        _run(uvicorn.Server(uvicorn.Config(app, **config)), listener)


def _listening(address: Address) -> socket.socket:
    """Raises UsageError."""
    where = f"{_in_url(address.host)}:{address.port}"
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError("--host", "an address of this machine", address.host, reason(error)) from error
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(where, "a free port", "one in use", "name another with --port; 0 takes any") from error
        todo = "name another with --port" if error.errno == errno.EACCES else "name one of this machine with --host"
        raise UsageError(where, "an address to listen on", reason(error), todo) from error
    return listener


@contextlib.contextmanager
def _working(opening: Opening, limits: Limits) -> Iterator[Worker]:
    """Its folder goes however this ends: by a kill too, then the worker removes it."""
    with tempfile.TemporaryDirectory(prefix="smsr-serve-") as folder:
        worker = Worker(opening, limits, Path(folder))
        try:
            worker.start()
            yield worker
        finally:
            worker.stop()


def _names(host: str, port: int) -> frozenset[str]:
    """What a browser on this machine calls a loopback address."""
    names = {"localhost", _in_url(host)}
    return frozenset(f"{name}:{port}" for name in names) | (names if port == 80 else frozenset())


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _run(server: Any, listener: socket.socket) -> None:
    """uvicorn ends at SIGINT and SIGTERM, and raises the signal again: that is the usual end here."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        if end.code != 128 + signal.SIGTERM:
            raise
