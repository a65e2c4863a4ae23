# Consortium in an image: built in the first stage, without what it took to build it in the second.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY core core
COPY adapters adapters
COPY bot bot
# The lock has what development needs too; as constraints it gives its versions to what the service needs.
RUN python -m venv /opt/consortium \
    && /opt/consortium/bin/pip install --no-cache-dir --disable-pip-version-check --constraint requirements.lock . \
    && /opt/consortium/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin consortium \
    && install --directory --owner=consortium --mode=0700 /data
COPY --from=build /opt/consortium /opt/consortium
ENV PATH=/opt/consortium/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data HOST=0.0.0.0 PORT=8080 LOG_JSON=true
USER consortium
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["consortium", "serve"]
