"""Subtitles: copied where the container holds their kind, as another kind of text where it holds that, else named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.runtime.video import RATE, copied, rgb_frames

LINES = [(500, 1000, "Hello {\\i1}wörld{\\i0}"), (1500, 1900, "Second\\Nline")]
"""Milliseconds from and to, and the text as ASS has it."""
SHOWN = {
    "mov_text": [(500, "Hello wörld"), (1500, "Second\nline")],
    "srt": [(500, "Hello <i>wörld</i>"), (1500, "Second\nline")],
    "webvtt": [(500, "Hello <i>wörld</i>"), (1500, "Second\nline")],
}
STYLE = {
    "Name": "Default", "Fontname": "Arial", "Fontsize": "16",
    "PrimaryColour": "&Hffffff", "SecondaryColour": "&Hffffff", "OutlineColour": "&H0", "BackColour": "&H0",
    "Bold": "0", "Italic": "0", "Underline": "0", "StrikeOut": "0", "ScaleX": "100", "ScaleY": "100",
    "Spacing": "0", "Angle": "0", "BorderStyle": "1", "Outline": "1", "Shadow": "0", "Alignment": "2",
    "MarginL": "10", "MarginR": "10", "MarginV": "10", "Encoding": "1",
}  # fmt: skip
HEADER = f"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288
[V4+ Styles]
Format: {", ".join(STYLE)}
Style: {",".join(STYLE.values())}
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
""".encode()


def spoken_clip(path: Path, kind: str) -> Path:
    """Two seconds with two subtitles in German; written by FFmpeg's own encoder of this kind."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        texts = container.add_stream(kind)
        texts.metadata["language"], texts.time_base = "deu", Fraction(1, 1000)
        texts.codec_context.subtitle_header = HEADER
        for frame in rgb_frames(2 * RATE):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number, (start, end, text) in enumerate(LINES):
            line = f"{number},0,Default,,0,0,0,,{text}".encode()
            made = av.subtitles.subtitle.SubtitleSet.create(text=line, start=0, end=end - start, pts=start)
            packet = texts.codec_context.encode_subtitle(made)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = end - start, Fraction(1, 1000), texts
            container.mux(packet)
    return path


def shown(path: Path) -> tuple[str, str | None, list[tuple[int, str]], list[int]]:
    """Kind, language, lines with the milliseconds at which they begin, and for how many they stand."""
    lines, lengths = [], []
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        kind = stream.codec_context.name
        for packet in container.demux(stream):
            data = bytes(packet)
            if kind == "mov_text":
                data = data[2 : 2 + int.from_bytes(data[:2], "big")]
            if data:
                lines.append((round(packet.pts * packet.time_base * 1000), data.decode().strip().replace("\r\n", "\n")))
                lengths.append(round(packet.duration * packet.time_base * 1000))
        return kind, stream.metadata.get("language"), lines, lengths


@pytest.mark.parametrize(
    ("given", "extension", "kind"),
    [
        ("srt.mkv", "mp4", "mov_text"),
        ("srt.mkv", "mov", "mov_text"),
        ("mov_text.mp4", "mkv", "srt"),
        ("srt.mkv", "webm", "webvtt"),
    ],
)
def test_text_becomes_the_kind_that_the_container_holds(tmp_path: Path, given: str, extension: str, kind: str) -> None:
    before, suffix = given.split(".")
    clip, out = spoken_clip(tmp_path / f"in.{suffix}", before), tmp_path / f"out.{extension}"
    _, report = copied(clip, out)
    assert report.notes == [f"subtitle stream 1 ({before}) is {kind} in the result"]
    language = None if extension == "mov" else "deu"  # QuickTime has a list of its own, as for sound
    found = shown(out)
    assert found[0] == kind and found[2:] == (SHOWN[kind], [500, 400])
    assert language is None or found[1] == language


def test_what_the_container_holds_is_copied_as_it_is(tmp_path: Path) -> None:
    clip = spoken_clip(tmp_path / "in.mkv", "srt")
    _, report = copied(clip, tmp_path / "out.mkv")
    assert report.notes == []
    assert shown(tmp_path / "out.mkv") == shown(clip) == ("srt", "deu", SHOWN["srt"], [500, 400])


def test_a_container_without_text_names_what_is_not_kept(tmp_path: Path) -> None:
    _, report = copied(spoken_clip(tmp_path / "in.mkv", "srt"), tmp_path / "out.avi", codec="mpeg4")
    assert report.notes == ["not kept: subtitle stream 1 (srt)"]
