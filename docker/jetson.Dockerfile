# smsr on a Jetson: plugin library and runtime, no torch, no onnx (docs/jetson.md). Build it on the device, or on any
# machine for linux/arm64, from the repository's root. BASE by JetPack; a tag works on its own L4T line only:
#   5.1       nvcr.io/nvidia/l4t-tensorrt:r8.5.2.2-devel      TensorRT 8.5
#   6.0       nvcr.io/nvidia/l4t-tensorrt:r8.6.2-devel        TensorRT 8.6
#   6.1, 6.2  nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel       TensorRT 10.3 (default)
#   7.x       nvcr.io/nvidia/tensorrt:25.09-py3               TensorRT 10.13, SBSA
ARG BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel

FROM ${BASE} AS tools
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive
# Patch levels are those of the base's Ubuntu.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libc6-dev python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# JetPack 5 has Python 3.8, for which the packages are others, a CMake too old for us and a pip too old for the wheels.
COPY docker/locks all-locks
RUN if python3 -c "import sys; sys.exit(sys.version_info >= (3, 10))"; then ln -s all-locks/py38 locks; \
    else ln -s all-locks locks; fi \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --requirement locks/pip.txt \
 && /opt/build/bin/pip install --require-hashes --requirement locks/build.txt

FROM tools AS plugin
# 72: Xavier, 87: Orin, 110: Thor (101 for CUDA 12.8 and 12.9); empty: all that this nvcc knows of those we support.
ARG CUDA_ARCHITECTURES=""
COPY plugins plugins
RUN export PATH="/opt/build/bin:/usr/local/cuda/bin:${PATH}" \
 && cmake -S plugins -B /tmp/native -G Ninja -DCMAKE_BUILD_TYPE=Release -DSMSR_WERROR=OFF -DSMSR_BUILD_TESTS=OFF \
      -DSMSR_BUILD_ORT=OFF -DSMSR_BUILD_CUDA=ON -DSMSR_BUILD_TRT=ON \
      "-DSMSR_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" \
 && cmake --build /tmp/native \
 && cmake --install /tmp/native --prefix /opt/native \
 && ls /opt/native/libsmsr_trt*.so

# The environment sees the base's own packages: tensorrt is one of them. pycuda is compiled against the base's CUDA, by
# the setuptools and numpy that are installed by then.
FROM tools AS env
RUN export PATH="/usr/local/cuda/bin:${PATH}" \
 && python3 -m venv --without-pip --system-site-packages /opt/smsr \
 && /opt/smsr/bin/python -c "import importlib.util as u; assert u.find_spec('tensorrt'), 'BASE lacks tensorrt'" \
 && install="/opt/build/bin/pip --python /opt/smsr/bin/python install" \
 && ${install} --require-hashes --requirement locks/jetson.txt \
 && ${install} --require-hashes --no-deps --no-build-isolation --requirement locks/pycuda.txt

FROM ${BASE} AS jetson
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="smsr-jetson" \
      org.opencontainers.image.description="Upscales pictures and videos with an SMSR bundle by TensorRT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=env /opt/smsr /opt/smsr
COPY runtime /opt/runtime
COPY --from=plugin /opt/native/ /opt/runtime/smsr_runtime/native/
ENV PATH=/opt/smsr/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=smsr XDG_CACHE_HOME=/work/.cache
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["python", "/opt/runtime/run.py"]
CMD ["--help"]
