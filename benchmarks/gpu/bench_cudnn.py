"""Five dense modules in PyTorch (cuDNN, channels last, float16) on a GPU: what smsr_cuda_gpu_bench is compared with.

python bench_cudnn.py [H W]: median microseconds of one module from a CUDA graph, and of five. Convolutions, ReLU, 1x1
over the concatenation, channel attention and residual, every pixel computed with all channels. Once as PyTorch runs it,
once with ReLU inside cuDNN's convolutions, as a TensorRT engine has it.
"""

from __future__ import annotations

import statistics
import sys

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS, LAYERS, REPEATS = 64, 4, 30


def convolve(features: Tensor, weight: Tensor, *, fused: bool) -> Tensor:
    if fused:
        return torch.cudnn_convolution_relu(features, weight, None, (1, 1), (1, 1), (1, 1), 1)
    return F.relu(F.conv2d(features, weight, padding=1), inplace=True)


def module(features: Tensor, weights: dict[str, Tensor], *, fused: bool) -> Tensor:
    """(1, C, H, W) -> (1, C, H, W), as smsr.reference without a mask."""
    current, outputs = features, []
    for layer in range(LAYERS):
        current = convolve(current, weights[f"conv{layer}"], fused=fused)
        outputs.append(current)
    collected = F.conv2d(torch.cat(outputs, dim=1), weights["collect"], weights["bias"])
    squeezed = F.relu(F.conv2d(collected.mean(dim=(2, 3), keepdim=True), weights["squeeze"]))
    return torch.addcmul(features, collected, torch.sigmoid(F.conv2d(squeezed, weights["excite"])))


def median_microseconds(height: int, width: int, *, fused: bool) -> float:
    torch.backends.cudnn.benchmark = True

    def normal(*shape: int) -> Tensor:
        fan_in = max(1, torch.Size(shape[1:]).numel())
        return (torch.randn(shape, device="cuda") * (2.0 / fan_in) ** 0.5).half()

    weights = {f"conv{layer}": normal(CHANNELS, CHANNELS, 3, 3) for layer in range(LAYERS)}
    weights |= {"collect": normal(CHANNELS, LAYERS * CHANNELS, 1, 1), "bias": normal(CHANNELS)}
    weights |= {"squeeze": normal(CHANNELS // 16, CHANNELS, 1, 1), "excite": normal(CHANNELS, CHANNELS // 16, 1, 1)}
    weights = {name: w.to(memory_format=torch.channels_last) if w.dim() == 4 else w for name, w in weights.items()}
    features = normal(1, CHANNELS, height, width).to(memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # on which the weights are made
    with torch.cuda.stream(stream):
        for _ in range(5):
            module(features, weights, fused=fused)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        module(features, weights, fused=fused)
    times = []
    for _ in range(REPEATS):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(1e3 * start.elapsed_time(stop))
    return statistics.median(times)


def main() -> int:
    sizes = [int(argument) for argument in sys.argv[1:]] or [720, 1280]
    if len(sizes) != 2 or not torch.cuda.is_available():
        print("bench_cudnn.py: expected [H W] and a GPU", file=sys.stderr)
        return 2
    height, width = sizes
    print(f"dense, cuDNN {torch.backends.cudnn.version()}, channels last, float16")
    for fused, relu in ((False, "PyTorch's ReLU"), (True, "ReLU in cuDNN")):
        with torch.inference_mode():
            one = median_microseconds(height, width, fused=fused)
        print(f"{relu}: {one:.1f} us per module, {5 * one:.1f} us for five")
    return 0


if __name__ == "__main__":
    sys.exit(main())
