"""An RTSP server for the tests, of GStreamer: numbered frames at their own rate, H.264 over RTP.

python3 rtsp_sender.py PORT: a line "ready", then "NUMBER SECONDS" per frame, with the time (monotonic) at which it was
drawn. Debian: gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base, -good and -ugly; no package of ours.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

RATE, WIDTH, HEIGHT, BITS = 25, 96, 64, 12
_LAUNCH = (
    f"( appsrc name=frames is-live=true format=time do-timestamp=true "
    f"caps=video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate={RATE}/1 ! videoconvert ! "
    f"x264enc tune=zerolatency key-int-max={RATE} ! rtph264pay name=pay0 config-interval=1 )"
)


def numbered(number: int) -> bytes:
    """One bar per binary digit, black or white, as tests.runtime.tcp_sender draws it."""
    row = b"".join(bytes([255 * (number >> bit & 1)]) * 3 * (WIDTH // BITS) for bit in range(BITS))
    return row * HEIGHT


class Frames:
    """Pushes one frame after the other into a client's pipeline."""

    def __init__(self, source: Any) -> None:
        self._source, self._number = source, 0
        GLib.timeout_add(1000 // RATE, self._push)

    def _push(self) -> bool:
        print(self._number, time.monotonic(), flush=True)
        flow = self._source.emit("push-buffer", Gst.Buffer.new_wrapped(numbered(self._number)))
        self._number += 1
        return bool(flow == Gst.FlowReturn.OK)


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_LAUNCH)
    factory.set_shared(True)
    factory.connect("media-configure", lambda _, media: Frames(media.get_element().get_child_by_name("frames")))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
