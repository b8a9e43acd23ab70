# Stagecast as an image: `stagecast serve` by default, `stagecast migrate` as the one-shot of compose.yaml.
# The first stage installs into /opt/stagecast, the second takes that folder and nothing else.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
RUN python -m venv /opt/stagecast
# The lock alone first: a change of the code does not install the dependencies again.
COPY requirements-run.lock ./
RUN /opt/stagecast/bin/pip install --no-deps --require-hashes --requirement requirements-run.lock
COPY pyproject.toml README.md ./
COPY infra infra
COPY pipeline pipeline
COPY migrations migrations
COPY gateway gateway
RUN /opt/stagecast/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
ENV PATH=/opt/stagecast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/stagecast --shell /usr/sbin/nologin stagecast
COPY --from=build /opt/stagecast /opt/stagecast
# Without other settings the SQLite file is data/stagecast.db below here: give it a volume.
WORKDIR /var/lib/stagecast
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=3)"]
ENTRYPOINT ["stagecast"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
