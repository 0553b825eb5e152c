"""FFmpeg's filters: chains of them that frames go through, for colours and for interlaced video."""

from __future__ import annotations

from typing import Any, Sequence

from smsr_runtime.media.video.source import pyav


class Filters:
    """A chain made for the size and pixel format of the first frame that it is given."""

    def __init__(self, *steps: tuple[str, str]) -> None:
        """steps: names of filters and their arguments, such as ("scale", "flags=bicubic")."""
        self._steps = steps
        self._graph: Any = None

    def push(self, frame: Any) -> list[Any]:
        """The frames that come out, as many as are ready."""
        if self._graph is None:
            self._graph = _graph(frame, self._steps)
        self._graph.push(frame)
        return self._ready()

    def flush(self) -> list[Any]:
        """The frames that the chain still holds, at the end."""
        if self._graph is None:
            return []
        self._graph.push(None)
        return self._ready()

    def _ready(self) -> list[Any]:
        av, frames = pyav(), []
        while True:
            try:
                frames.append(self._graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):  # it waits for more, or is at its end
                return frames


def _graph(frame: Any, steps: Sequence[tuple[str, str]]) -> Any:
    graph = pyav().filter.Graph()
    source = {
        "video_size": f"{frame.width}x{frame.height}",
        "pix_fmt": frame.format.name,
        "time_base": str(frame.time_base),
        "pixel_aspect": "1/1",
    }
    last = graph.add("buffer", **source)
    for name, arguments in [*steps, ("buffersink", "")]:
        step = graph.add(name, arguments) if arguments else graph.add(name)
        last.link_to(step)
        last = step
    graph.configure()
    return graph
