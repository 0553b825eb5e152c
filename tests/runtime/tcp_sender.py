"""A live sender for the tests: numbered frames at their own rate, as MPEG-TS over TCP, to the one client that asks.

python tcp_sender.py PORT FRAMES: a line "NUMBER SECONDS" per frame, with the time (monotonic) at which it was drawn.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np

RATE, WIDTH, HEIGHT, BITS = 25, 96, 64, 12


def numbered(number: int) -> np.ndarray:
    """(H, W, 3): one bar per binary digit, black or white."""
    digits = [255 * (number >> bit & 1) for bit in range(BITS)]
    bars = np.repeat(np.array(digits, np.uint8), WIDTH // BITS)
    return np.ascontiguousarray(np.broadcast_to(bars[None, :, None], (HEIGHT, WIDTH, 3)))


def read_number(pixels: np.ndarray) -> int:
    """The number in such a frame, of any size."""
    bars = pixels.mean(axis=(0, 2)).reshape(BITS, -1)
    return sum(int(bars[bit, bars.shape[1] // 4 : -bars.shape[1] // 4].mean() > 128) << bit for bit in range(BITS))


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    with av.open(f"tcp://127.0.0.1:{port}?listen=1", "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "g": str(RATE), "crf": "18"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.start_encoding()  # waits for the client
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            print(number, time.monotonic(), flush=True)
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


if __name__ == "__main__":
    main()
