# One image for gateway and worker: they differ by the command only. There is no tensorflow in it; the networks run in
# a TensorFlow Serving container, which gets the models from this image (Kubernetes) or from the checkout (Compose).
# The base image is pinned by its exact version tag, not by a digest.
FROM python:3.11.17-slim-trixie AS build

ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/redden \
    UV_PYTHON_DOWNLOADS=never

RUN pip install --no-cache-dir uv==0.13.9

WORKDIR /build
# The dependencies change less often than the code, so they have a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra serving --no-install-project
COPY README.md LICENSE ./
COPY redden redden
COPY service service
COPY training training
RUN uv sync --locked --no-dev --extra serving --no-editable


FROM python:3.11.17-slim-trixie

LABEL org.opencontainers.image.title="redden" \
      org.opencontainers.image.description="Dust in distant galaxies, measured from their pictures" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="BSD-3-Clause"

# The root file system may be read-only: whoever wants to write (astropy its caches) finds /tmp as home.
# One thread of linear algebra per process: spinning threads slow down small batches on busy cores.
ENV PATH=/opt/redden/bin:$PATH \
    HOME=/tmp \
    REDDEN_MODELS_DIR=/app/models \
    REDDEN_SURVEYS_DIR=/app/surveys \
    REDDEN_JOBS_URL=/app/jobs \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1

COPY --from=build /opt/redden /opt/redden
COPY models /app/models
# A new volume gets the owner of the directory that it is mounted on.
RUN install -d -o 10001 -g 10001 /app/jobs

WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Of the gateway; the worker listens nowhere, so Compose gives it a check of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

# The gateway, one process: scale by containers. The worker is `redden worker`.
CMD ["uvicorn", "--factory", "service.app:create_app", "--host", "0.0.0.0", "--port", "8000", \
     "--no-access-log", "--timeout-graceful-shutdown", "30"]
