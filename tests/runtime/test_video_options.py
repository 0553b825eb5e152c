"""--crf and --video-codec reach the encoder, and what colours mean reaches the file, through the command itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from smsr_runtime.run import command
from tests.runtime.video import RATE, copied, rgb_frames, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", rgb_frames(4))


def made(bundle: Path, source: Path, target: Path, *options: str) -> Path:
    assert command.main([str(bundle), str(source), "-o", str(target), "--quiet", *options]) == 0
    return target


def test_crf_decides_about_the_size(bundle: Path, clip: Path, tmp_path: Path) -> None:
    sizes = [
        made(bundle, clip, tmp_path / f"{name}.mkv", *words).stat().st_size
        for name, words in {"fine": ["--crf", "1"], "default": [], "coarse": ["--crf", "45"]}.items()
    ]
    assert sizes[0] > 1.2 * sizes[1] > 1.2 * 1.2 * sizes[2]


def test_the_named_codec_encodes(bundle: Path, clip: Path, tmp_path: Path) -> None:
    for words, name in (([], "h264"), (["--video-codec", "mpeg4"], "mpeg4")):
        with av.open(str(made(bundle, clip, tmp_path / f"{name}.mkv", *words))) as container:
            assert container.streams.video[0].codec_context.name == name


def test_quality_reaches_a_picture_s_encoder(bundle: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 100, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    low, high = (
        made(bundle, tmp_path / "in.png", tmp_path / f"{quality}.jpg", "--quality", quality).stat().st_size
        for quality in ("20", "95")
    )
    assert 2 * low < high


@pytest.mark.parametrize(("trc", "primaries", "matrix"), [(1, 1, 1), (18, 9, 9), (13, 12, 1)])
def test_transfer_primaries_and_matrix_are_the_source_s(tmp_path: Path, trc: int, primaries: int, matrix: int) -> None:
    source = write_clip(tmp_path / "in.mkv", rgb_frames(3), color_trc=trc, color_primaries=primaries, colorspace=matrix)
    copied(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        frame = next(container.decode(video=0))
    assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (trc, primaries, matrix)


def test_an_upright_picture_keeps_its_pixel_shape(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", rgb_frames(3), sample_aspect_ratio=Fraction(4, 3))
    copied(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert container.streams.video[0].average_rate == RATE
