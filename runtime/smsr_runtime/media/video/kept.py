"""What a result keeps of its source besides the frames: tags, chapters, marks of streams, attached fonts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from smsr_runtime.media.video.source import is_cover, pyav

_WRITER_TAGS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "rotate")
"""What the program that wrote the source said of its file; the result's writer says it again for its own."""
_STATISTICS = ("bps", "number_of_frames", "number_of_bytes", "_statistics_")
"""Matroska's counts of a stream, which are wrong for upscaled frames."""
_WITHOUT_TAGS = ("mpegts", "mpeg")
_WITH_CHAPTERS = ("mp4", "mov", "ipod", "3gp", "matroska", "webm", "asf")


def keep_tags(output: Any, container: Any) -> str | None:
    """What is lost, in words."""
    tags = _without(container.metadata, _WRITER_TAGS)
    if tags and output.format.name in _WITHOUT_TAGS:
        return f"tags ({', '.join(sorted(map(str.lower, tags)))}), which .{output.format.name} does not hold"
    output.metadata.update(tags)
    return None


def keep_stream_tags(stream: Any, source: Any, *, encoded_again: bool = False) -> None:
    """Tags and marks (default, forced, ...) of one stream."""
    left_out = (*_WRITER_TAGS, *_STATISTICS, "alpha_mode") if encoded_again else ("duration",)
    stream.metadata.update(_without(source.metadata, left_out))
    if hasattr(source, "disposition"):
        stream.disposition = int(source.disposition)


def keep_chapters(output: Any, container: Any, start: Fraction) -> str | None:
    """start: seconds of the source that become the result's 0. What is lost, in words."""
    if not hasattr(container, "chapters"):
        return f"chapters and default and forced marks, if there are any (PyAV {pyav().__version__} keeps none)"
    chapters = container.chapters()
    if not chapters:
        return None
    if output.format.name not in _WITH_CHAPTERS:
        return f"{len(chapters)} chapters, which .{output.format.name} does not hold"
    for chapter in chapters:
        shift = round(start / chapter["time_base"])
        chapter["start"], chapter["end"] = chapter["start"] - shift, chapter["end"] - shift
    output.set_chapters(chapters)
    return None


def keep_attachment(output: Any, stream: Any) -> bool:
    """Fonts of subtitles and the like: whether the result holds it."""
    if output.format.name != "matroska" or not hasattr(output, "add_attachment") or not stream.data:
        return False
    kind = stream.mimetype or "application/octet-stream"
    output.add_attachment(stream.name or "attachment", kind, stream.data)
    return True


def describe(stream: Any) -> str:
    """A stream in a note."""
    if stream.type == "video":
        return f"{'cover picture' if is_cover(stream) else 'video stream'} {stream.index}"
    name = stream.codec_context.name if stream.codec_context else getattr(stream, "name", None)
    return f"{stream.type} stream {stream.index}{f' ({name})' if name else ''}"


def _without(tags: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.lower().startswith(names)}
