# isbench on the CPU: the exact versions of constraints.txt, the CPU build of torch, and OpenVINO.
#
#   docker build -t isbench .
#   docker run --rm -v "$PWD:/work" isbench run --model csfpn-lite --dataset sample
#   docker run --rm -v "$PWD:/work" -v /path/to/data:/data isbench run --model grabcut --dataset davis
#
# Runs are written to ./runs. On Linux add `--user "$(id -u):$(id -g)"`, so that they are yours.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ISBENCH_DATA=/data \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/matplotlib

# the large libraries first: they change seldom, so their layer is kept when isbench changes
COPY constraints.txt /opt/isbench/
RUN pip install --constraint /opt/isbench/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu torch openvino

COPY pyproject.toml README.md LICENSE /opt/isbench/
COPY isbench /opt/isbench/isbench
COPY baselines /opt/isbench/baselines
COPY csfpn /opt/isbench/csfpn
RUN pip install --constraint /opt/isbench/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu '/opt/isbench[cpu,walker]'

RUN useradd --create-home isbench && mkdir -p /work /data && chown isbench /work
USER isbench
WORKDIR /work
ENTRYPOINT ["isbench"]
CMD ["--help"]
