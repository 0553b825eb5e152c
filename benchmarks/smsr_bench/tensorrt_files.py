"""Writes what engine_bench needs to compare the network with dense rivals in TensorRT: models, pictures, references.

python -m smsr_bench.tensorrt_files CHECKPOINT -o FOLDER [--evaluation FOLDER] [--photographs FOLDER]

FOLDER/pictures.txt, NAME.image.u8, NAME.high.u8: see plugins/tests/trt/bench/picture.h. FOLDER/models.txt: a line
MODEL PLUGIN REFERENCES LEAST_PSNR FLOAT32 for each, PLUGIN and FLOAT32 may be "-". FOLDER/MODEL.onnx, and
FOLDER/REFERENCES: what it should compute, in float32: PyTorch's for `smsr`, ONNX Runtime's for the rivals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from smsr import images, resize
from smsr.checkpoint import load_network, locate
from smsr.network import Network
from smsr_bench import tensorrt_rivals as rivals
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.records import FoldedNetwork
from smsr_export.trt_model import build_trt_model
from smsr_runtime import files
from smsr_runtime.arrays import to_planes
from smsr_runtime.console import Parser, run_command, show
from smsr_runtime.errors import DataError
from smsr_runtime.folders import replacing_folder
from smsr_runtime.ort.backend import open_session
from smsr_runtime.tensorrt.precision import FLOAT32_NODES

FRAME = (360, 640)
"""(h, w) of one photograph's crop; the mosaic is two by two of them."""
_PICTURES, _MODELS = "pictures.txt", "models.txt"
CALM_ZOOM = 4
REFERENCE_PIXELS = 16 * 1024
"""About how many low-resolution pixels a reference covers: what travels to a GPU has a limit."""
Outputs = Mapping[str, NDArray[np.float32]]
"""`upscaled` and perhaps margin_1 .. margin_K, (1, C, H, W)."""


@dataclass(frozen=True)
class Picture:
    """low: (H, W, 3) RGB; high: its (sH, sW, 3) original, or None."""

    name: str
    low: images.Image
    high: images.Image | None = None

    @property
    def step(self) -> int:
        """References hold every step-th row. Odd, so that all rows of the kernels' tiles have their turn.

        All rows where there is an original, so that a rehearsal gives the true PSNR.
        """
        if self.high is not None:
            return 1
        height, width = self.low.shape[:2]
        return int(height * width // REFERENCE_PIXELS | 1)


@dataclass(frozen=True)
class Model:
    """run: what it should compute, float32; None: that of the model `references`.

    least_psnr: dB of its float16 engine against that; float32: nodes that TensorRT 8 must not round.
    """

    name: str
    file: onnx.ModelProto
    run: Callable[[NDArray[np.float32]], Outputs] | None
    plugin: bool
    references: str
    least_psnr: float
    float32: Sequence[str] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="tensorrt_files",
        description=description,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="a checkpoint, or x2, x3, x4: the weights that come with smsr")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--evaluation", type=Path, metavar="FOLDER", help="pictures with originals, such as Set5")
    parser.add_argument(
        "--photographs", type=Path, metavar="FOLDER", help="of at least 640x360: a crop, a mosaic, and a calm picture"
    )
    options = parser.parse_args(arguments)
    return run_command("tensorrt_files", lambda: make(options))


def make(options: argparse.Namespace) -> None:
    """Reads, computes, writes. Raises SmsrError."""
    network = load_network(locate(options.checkpoint))
    pictures = read_pictures(options.evaluation, options.photographs, network.config.scale)
    with replacing_folder(options.output, _is_ours) as folder:
        write(folder, pictures, models(network))
    show(f"wrote {options.output}: {len(pictures)} pictures")


def _is_ours(folder: Path) -> bool:
    """Whether a folder was written by an earlier call."""
    return (folder / _PICTURES).is_file() and (folder / _MODELS).is_file()


def read_pictures(evaluation: Path | None, photographs: Path | None, scale: int) -> list[Picture]:
    """The smallest first, so that an engine's profile ends with the largest. Raises DataError."""
    pictures = []
    if evaluation:
        for source in images.find(evaluation, scale, "auto"):
            pictures.append(Picture(source.name, *images.read_pair(source, scale)))
    if photographs:
        pictures += frames([source.high() for source in images.find(photographs, scale)], photographs)
    if not pictures:
        raise DataError("tensorrt_files", "--evaluation or --photographs", "neither", "name a folder of pictures")
    return sorted(pictures, key=lambda picture: picture.low.size)


def frames(photographs: Sequence[images.Image], where: Path) -> list[Picture]:
    """From the first four that are large enough: one crop, their mosaic, and a calm picture of the same size.

    The calm one is the middle of the first, enlarged: smooth, as out-of-focus and flat parts are, and without active
    pixels; a quarter of it is the crop, so that less than a fifth of all pixels is active.
    """
    height, width = FRAME
    crops = [
        _middle(photo, height, width) for photo in photographs if photo.shape[0] >= height and photo.shape[1] >= width
    ]
    if len(crops) < 4:
        raise DataError(where, f"4 pictures of at least {width}x{height}", str(len(crops)), "name another folder")
    mosaic = np.concatenate([np.concatenate(crops[:2], axis=1), np.concatenate(crops[2:4], axis=1)])
    small = _middle(crops[0], 2 * height // CALM_ZOOM, 2 * width // CALM_ZOOM)
    smooth = resize.upscale(torch.from_numpy(to_planes(small)), CALM_ZOOM)[0].clamp(0, 255).round()
    calm = smooth.permute(1, 2, 0).numpy().astype(np.uint8)
    calm[:height, :width] = crops[0]
    return [
        Picture("crop", crops[0]),
        Picture("calm", calm),
        Picture("mosaic", mosaic),
    ]


def _middle(picture: images.Image, height: int, width: int) -> images.Image:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def models(network: Network) -> list[Model]:
    """The network with its plugins, and its two dense rivals, all with float16 inside. Raises ExportError.

    smsr-branch: the mask branches are plugins, too; smsr-half: and the bicubic path is float16, as the rivals' is.
    """
    folded = fold(freeze(network))
    ours, branch = build_trt_model(folded, "fp16"), build_trt_model(folded, "fp16", branch_plugin=True)
    half = build_trt_model(folded, "fp16", branch_plugin=True, half_bicubic=True)
    float32 = [name for name in FLOAT32_NODES if "bicubic" not in name and "padded" not in name]
    dense, masked = rivals.build_dense, rivals.build_masked
    return [
        Model("smsr", ours, _torch_run(network), True, "smsr", 65.0, FLOAT32_NODES),
        Model("smsr-branch", branch, None, True, "smsr", 65.0, FLOAT32_NODES),
        Model("smsr-half", half, None, True, "smsr", 60.0, float32),
        Model("dense", dense(folded), _ort_run(dense, folded), False, "dense", 50.0),
        Model("masked", masked(folded), _ort_run(masked, folded), False, "masked", 50.0),
    ]


def _torch_run(network: Network) -> Callable[[NDArray[np.float32]], Outputs]:
    def run(image: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            upscaled, margins = network.infer(torch.from_numpy(image))
        names = {f"margin_{index}": margin.numpy() for index, margin in enumerate(margins, 1)}
        return {"upscaled": upscaled.numpy(), **names}

    return run


def _ort_run(build: Callable[..., onnx.ModelProto], folded: FoldedNetwork) -> Callable[[NDArray[np.float32]], Outputs]:
    session = open_session(build(folded, half=False).SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {"image": image}), strict=True))


def write(folder: Path, pictures: Sequence[Picture], written: Sequence[Model]) -> None:
    """Everything into the folder, which exists. Raises OutputError."""
    lines = [f"{one.name} {one.low.shape[0]} {one.low.shape[1]} {one.step}" for one in pictures]
    _write_lines(folder / _PICTURES, lines)
    for picture in pictures:
        for kind, pixels in (("image", picture.low), ("high", picture.high)):
            if pixels is not None:
                planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
                files.write_bytes(folder / f"{picture.name}.{kind}.u8", planes.tobytes())
    for model in written:
        files.write_bytes(folder / f"{model.name}.onnx", model.file.SerializeToString(deterministic=True))
        if model.run is not None:
            _write_references(folder / model.references, pictures, model.run)
    _write_lines(folder / _MODELS, [_line(model) for model in written])


def _line(model: Model) -> str:
    plugin, float32 = "plugin" if model.plugin else "-", ",".join(model.float32) or "-"
    return f"{model.name} {plugin} {model.references} {model.least_psnr} {float32}"


def _write_references(folder: Path, pictures: Sequence[Picture], run: Callable[[NDArray[np.float32]], Outputs]) -> None:
    files.make_folder(folder)
    for picture in pictures:
        for name, output in run(to_planes(picture.low)).items():
            rows = np.ascontiguousarray(output[0, :, :: picture.step])
            files.write_bytes(folder / f"{picture.name}.{name}.f32", rows.tobytes())


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    files.write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    sys.exit(main())
