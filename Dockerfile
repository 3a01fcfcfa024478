# The web page of polyrestore, on the processor alone. Which build of torch is installed is up to the package index:
# --build-arg TORCH_INDEX_URL=... chooses one of CPU builds, which are a tenth of the size.
FROM python:3.11.13-slim-bookworm

ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /opt/polyrestore
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY src src
RUN pip install -c constraints.txt ".[app,heif,raw,tiff]" \
    && rm -rf /opt/polyrestore/src \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin polyrestore

USER 10001
WORKDIR /tmp
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/api/health', timeout=4)"]
# It can be reached from outside, so it starts with POLYRESTORE_TOKEN set only.
ENTRYPOINT ["polyrestore", "app", "--host", "0.0.0.0", "--port", "7860"]
