# smsr with TensorRT on a PC or server with an NVIDIA GPU; build from the repository's root (docker/README.md). One
# image: plugin library, exporter (CPU torch, onnx), runtime. The engine is built when the container runs, since only
# there is a GPU: docker run --gpus all ... smsr-trt SMSR_X2.pt --target trt
# BASE: an image of NVIDIA's with TensorRT 8.6, 10 or 11, its Python package and nvcc, on Python 3.10 or newer.
ARG BASE=nvcr.io/nvidia/tensorrt:25.09-py3
# Times of files inside the images: 2026-01-01.
ARG SOURCE_DATE_EPOCH=1767225600

# Build tools; nothing of it reaches the image.
FROM ${BASE} AS tools
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive
# Patch levels are those of the base's Ubuntu.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libc6-dev python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY docker/locks locks
COPY plugins/cmake/onnxruntime_headers.py ./
RUN python3 onnxruntime_headers.py /opt/onnxruntime \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --requirement locks/pip.txt \
 && /opt/build/bin/pip install --require-hashes --requirement locks/build.txt

# The wheel with both native libraries. Without one of them that is a failure, not a slow package.
FROM tools AS wheel
# Compute capabilities such as "87" or "86;89"; empty: all that this nvcc knows of those we support.
ARG CUDA_ARCHITECTURES=""
COPY pyproject.toml README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY plugins plugins
COPY smsr smsr
COPY export export
COPY runtime runtime
COPY benchmarks benchmarks
RUN export PATH="/opt/build/bin:/usr/local/cuda/bin:${PATH}" \
 && pip wheel ./runtime --no-deps --no-build-isolation --wheel-dir /wheels \
      --config-settings build-dir=/tmp/native \
      --config-settings cmake.define.ONNXRUNTIME_INCLUDE_DIR=/opt/onnxruntime \
      --config-settings cmake.define.SMSR_BUILD_CUDA=ON \
      --config-settings cmake.define.SMSR_BUILD_TRT=ON \
      --config-settings "cmake.define.SMSR_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" \
 && python3 -c "import glob, zipfile; names = zipfile.ZipFile(*glob.glob('/wheels/*.whl')).namelist(); \
assert 'smsr_runtime/native/libsmsr_ort.so' in names and any('libsmsr_trt' in name for name in names), names" \
 && pip wheel . --no-deps --no-build-isolation --wheel-dir /wheels

# The environment sees the base's own packages: tensorrt is one of them. torch comes from its CPU index alone, as in
# cpu.Dockerfile; pycuda is compiled against the base's CUDA, by the setuptools and numpy that are installed by then.
FROM wheel AS env
ARG SOURCE_DATE_EPOCH
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN export PATH="/usr/local/cuda/bin:${PATH}" \
 && python3 -m venv --without-pip --system-site-packages /opt/smsr \
 && /opt/smsr/bin/python -c "import importlib.util as u; assert u.find_spec('tensorrt'), 'BASE lacks tensorrt'" \
 && install="/opt/build/bin/pip --python /opt/smsr/bin/python install --no-compile" \
 && ${install} --no-deps --require-hashes --index-url "${TORCH_INDEX}" --requirement locks/torch.txt \
 && ${install} --require-hashes --requirement locks/exporter.txt \
 && ${install} --require-hashes --no-deps --no-build-isolation --requirement locks/pycuda.txt \
 && ${install} --no-deps --no-index --find-links /wheels smsr-runtime smsr \
 && rm -rf /opt/smsr/lib/python3.*/site-packages/torch/include /opt/smsr/lib/python3.*/site-packages/torch/test \
 && { /opt/smsr/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/smsr/lib || true; } \
 && find /opt/smsr -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE} AS trt
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="smsr-trt" \
      org.opencontainers.image.description="Exports SMSR checkpoints for TensorRT, builds engines, runs them" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=env /opt/smsr /opt/smsr
# HOME and USER as in cpu.Dockerfile. The timing cache survives the container where /work/.cache is mounted with it.
ENV PATH=/opt/smsr/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 HOME=/tmp USER=smsr \
    XDG_CACHE_HOME=/work/.cache
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["smsr-export"]
CMD ["--help"]
