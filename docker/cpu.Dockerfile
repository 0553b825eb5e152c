# smsr on CPU; build from the repository's root (docker/README.md). Two images:
#   runtime   runs bundles; no torch, onnx or compiler inside     entrypoint smsr-run
#   exporter  runtime + CPU torch and onnx: checkpoint to bundle  entrypoint smsr-export
# Every stage stands on BASE, so the environments copied into the images find the interpreter they were made with.
# BASE may name a digest (python@sha256:...) or any Debian or Ubuntu image with Python 3.10+ and its venv module.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
# Times of files inside the images: 2026-01-01.
ARG SOURCE_DATE_EPOCH=1767225600

# `--build-context packages=FOLDER --build-arg PIP_NO_INDEX=1` puts downloaded packages here: pip then asks no index.
FROM scratch AS packages
COPY docker/locks/pip.txt /

# The pip that installs; nothing of it reaches an image.
FROM ${BASE} AS tools
ARG PIP_NO_INDEX
# Bytecode written in passing would carry the time of this build.
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_FIND_LINKS=/packages PIP_NO_INDEX=${PIP_NO_INDEX}
COPY --from=packages / /packages
WORKDIR /src
COPY docker/locks locks
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --requirement locks/pip.txt
# 1000 is the first user of most machines, so that results in a mounted folder belong to it.
RUN echo 'smsr:x:1000:1000:smsr:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'smsr:x:1000:' >> /etc/group

FROM tools AS compiler
# The compiler's patch level is Debian's: its package versions leave the mirrors as soon as a fix replaces them.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY plugins/cmake/onnxruntime_headers.py ./
RUN python3 onnxruntime_headers.py /opt/onnxruntime \
 && /opt/build/bin/pip install --require-hashes --requirement locks/build.txt

# The wheels. runtime/pyproject.toml lets a build without compiler pass as a slow, pure one: here that is a failure.
FROM compiler AS compiled
ARG SOURCE_DATE_EPOCH
COPY pyproject.toml README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY plugins plugins
COPY smsr smsr
COPY export export
COPY runtime runtime
COPY benchmarks benchmarks
RUN export PATH="/opt/build/bin:${PATH}" \
 && pip wheel ./runtime --no-deps --no-build-isolation --wheel-dir /wheels \
      --config-settings build-dir=/tmp/native \
      --config-settings cmake.define.ONNXRUNTIME_INCLUDE_DIR=/opt/onnxruntime \
 && python3 -c "import glob, zipfile; zipfile.ZipFile(*glob.glob('/wheels/*.whl')).getinfo('smsr_runtime/native/libsmsr_ort.so')" \
 && pip wheel . --no-deps --no-build-isolation --wheel-dir /wheels

# `--build-context wheels=dist` puts the wheels of `make release` here instead: nothing is compiled.
FROM scratch AS wheels
COPY --from=compiled /wheels /

# Packages by hash, then our wheel alone. Tests of numpy and tools of ONNX Runtime stay out, 31 MB. Bytecode that names no time keeps the
# images reproducible and spares each start its compilation; some packages carry files for other Pythons, which do not
# compile: no failure, as in pip.
FROM tools AS runtime-env
ARG SOURCE_DATE_EPOCH
COPY --from=wheels / /wheels
RUN python3 -m venv --without-pip /opt/smsr \
 && install="/opt/build/bin/pip --python /opt/smsr/bin/python install --no-compile" \
 && ${install} --require-hashes --requirement locks/runtime.txt \
 && ${install} --no-deps --no-index --find-links /wheels smsr-runtime \
 && /opt/build/bin/pip --python /opt/smsr/bin/python check \
 && site=$(echo /opt/smsr/lib/python3.*/site-packages) \
 && rm -rf "${site}"/numpy/tests "${site}"/numpy/*/tests "${site}"/onnxruntime/transformers \
      "${site}"/onnxruntime/quantization "${site}"/onnxruntime/tools "${site}"/onnxruntime/datasets \
 && { /opt/smsr/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/smsr/lib || true; } \
 && find /opt/smsr -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

# torch comes from its CPU index alone, without dependencies, so that no other index can stand in for it; its C++
# headers and C++ tests, a fifth of it, stay out.
FROM runtime-env AS exporter-env
ARG SOURCE_DATE_EPOCH
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN install="/opt/build/bin/pip --python /opt/smsr/bin/python install --no-compile" \
 && ${install} --no-deps --require-hashes --index-url "${TORCH_INDEX}" --requirement locks/torch.txt \
 && rm -rf /opt/smsr/lib/python3.*/site-packages/torch/include /opt/smsr/lib/python3.*/site-packages/torch/test \
 && ${install} --require-hashes --requirement locks/exporter.txt \
 && ${install} --no-deps --no-index --find-links /wheels smsr \
 && /opt/build/bin/pip --python /opt/smsr/bin/python check \
 && { /opt/smsr/bin/python -m compileall -qq --invalidation-mode unchecked-hash /opt/smsr/lib || true; } \
 && find /opt/smsr -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE} AS exporter
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="smsr-export" \
      org.opencontainers.image.description="Exports a trained SMSR checkpoint to a bundle, on CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=tools /etc/passwd /etc/group /etc/
COPY --from=exporter-env /opt/smsr /opt/smsr
# HOME and USER: torch asks for both, and a container run with --user has no entry in /etc/passwd. ONNX Runtime 1.29 and
# later would send usage data to its makers and leave a device identifier behind.
ENV PATH=/opt/smsr/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 HOME=/tmp USER=smsr
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["smsr-export"]
CMD ["--help"]

# Last, so that it is what a build without --target makes.
FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="smsr-run" \
      org.opencontainers.image.description="Upscales pictures and videos with an exported SMSR bundle, on CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=tools /etc/passwd /etc/group /etc/
COPY --from=runtime-env /opt/smsr /opt/smsr
ENV PATH=/opt/smsr/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 HOME=/tmp USER=smsr
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["smsr-run"]
CMD ["--help"]
