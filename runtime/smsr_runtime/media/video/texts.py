"""Subtitles that are text, for containers that hold another kind of it: decoded and encoded by FFmpeg, styles kept."""

from __future__ import annotations

from typing import Any

from smsr_runtime.media.video.kept import keep_stream_tags
from smsr_runtime.media.video.source import pyav

_KINDS = ("mov_text", "srt", "webvtt")
"""Of MP4, Matroska and WebM; the first that the container holds is taken."""


class Texts:
    """One stream of subtitles."""

    def __init__(self, output: Any, source: Any, kind: str) -> None:
        """output: the container to write; source: a stream for which `kind_for` names this kind."""
        self._source = source.codec_context
        if not self._source.is_open:
            self._source.open(strict=False)  # which makes the header with the styles
        self.stream = output.add_stream(kind)
        self.stream.time_base = source.time_base
        self.stream.codec_context.subtitle_header = self._source.subtitle_header
        keep_stream_tags(self.stream, source)

    def encoded(self, packet: Any) -> Any:
        """The packet, at the same time, as the container has it; None where nothing is shown. Raises FFmpegError."""
        shown = self._source.decode2(packet)
        if shown is None or not len(shown):
            return None
        new = self.stream.codec_context.encode_subtitle(shown)
        new.time_base, new.pts, new.dts, new.duration = packet.time_base, packet.pts, packet.dts, packet.duration
        return new


def kind_for(output: Any, source: Any) -> str | None:
    """What the container takes in place of a stream of subtitles; None where that is no text, or PyAV too old."""
    context = source.codec_context
    able = hasattr(context, "encode_subtitle") and hasattr(context, "decode2") and context.codec.text_sub
    kinds = [kind for kind in _KINDS if kind in output.supported_codecs] if able else []
    return kinds[0] if kinds and kinds[0] in pyav().codecs_available else None
