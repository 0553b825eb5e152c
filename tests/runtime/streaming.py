"""A live sender, smsr-run, and a reader of its stdout: every frame's way measured, from drawn to upscaled.

python -m tests.runtime.streaming BUNDLE [--rtsp]
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.runtime.helpers import REPO, RUNTIME
from tests.runtime.tcp_sender import HEIGHT, WIDTH, read_number

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's bindings of GStreamer are for its own Python."""


@dataclass(frozen=True)
class Seen:
    """numbers of the frames that came out, in order; latencies: seconds from drawn to read, of each."""

    numbers: list[int]
    latencies: list[float]
    errors: str
    code: int


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def has_rtsp() -> bool:
    """Whether Debian's GStreamer has what `rtsp_sender` needs."""
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None)\n"
    code += "import sys; sys.exit(not all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'appsrc'))))"
    return shutil.which(SYSTEM_PYTHON) is not None and not subprocess.run(
        [SYSTEM_PYTHON, "-c", code], capture_output=True, check=False
    ).returncode  # fmt: skip


class Sender:
    """`times`: when each frame was drawn."""

    def __init__(self, command: Sequence[str | Path], address: str) -> None:
        self.times: dict[int, float] = {}
        self.address = address
        self._process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, cwd=REPO)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self._wait()

    def _wait(self) -> None:
        """Until its port is taken: it listens; to ask it would be its one client."""
        port = int(self.address.rpartition(":")[2].partition("/")[0])
        for _ in range(400):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return
            time.sleep(0.05)

    @classmethod
    def tcp(cls, frames: int) -> Sender:
        port = free_port()
        command = [sys.executable, "-m", "tests.runtime.tcp_sender", str(port), str(frames)]
        return cls(command, f"tcp://127.0.0.1:{port}")

    @classmethod
    def rtsp(cls) -> Sender:
        port = free_port()
        script = Path(__file__).with_name("rtsp_sender.py")
        return cls([SYSTEM_PYTHON, script, str(port)], f"rtsp://127.0.0.1:{port}/live")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, _, moment = line.partition(" ")
            if moment:
                self.times[int(number)] = float(moment)

    def stop(self) -> None:
        """Like a cable that is pulled out."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def stream(bundle: Path, sender: Sender, frames: int, scale: int = 2) -> Seen:
    """Reads `frames` upscaled frames or all, pulls the cable, and waits for the end."""
    command = [sys.executable, RUNTIME / "run.py", bundle, sender.address, "-o", "-", "--format", "raw", "--stats"]
    size = scale * HEIGHT * scale * WIDTH * 3
    numbers, moments = [], []
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        while len(data := process.stdout.read(size)) == size:
            moments.append(time.monotonic())
            numbers.append(read_number(np.frombuffer(data, np.uint8).reshape(scale * HEIGHT, scale * WIDTH, 3)))
            if len(numbers) == frames:
                sender.stop()
        _, errors = process.communicate(timeout=60)
    latencies = [moment - sender.times[number] for number, moment in zip(numbers, moments)]
    return Seen(numbers, latencies, errors.decode(), process.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rtsp", action="store_true")
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    sender = Sender.rtsp() if options.rtsp else Sender.tcp(options.frames)
    seen = stream(options.bundle, sender, options.frames)
    sender.stop()
    milliseconds = 1000 * np.array(seen.latencies)
    print(seen.errors.strip())
    print(
        f"{sender.address}: {len(seen.numbers)} of {len(sender.times)} frames, from drawn to read: median "
        f"{np.median(milliseconds):.0f} ms, 95 of 100 below {np.quantile(milliseconds, 0.95):.0f} ms"
    )


if __name__ == "__main__":
    main()
