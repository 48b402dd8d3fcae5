# The service without its databases: `docker build -t tunescout .`; compose.yaml adds those. README.md, "In containers".

# What is built here has a compiler and headers around it; what runs has neither.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        build-essential default-libmysqlclient-dev pkg-config python3-dev python3-venv
COPY requirements.txt requirements-mysql.txt /build/
RUN python3 -m venv /opt/tunescout/venv \
    && /opt/tunescout/venv/bin/pip install --no-cache-dir --requirement /build/requirements.txt \
        --requirement /build/requirements-mysql.txt \
    && /opt/tunescout/venv/bin/pip uninstall --yes pip
COPY app.py tunescout_uploader.py config.json /opt/tunescout/
COPY dejavu /opt/tunescout/dejavu
RUN /opt/tunescout/venv/bin/python -m compileall -q /opt/tunescout/app.py /opt/tunescout/dejavu

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libmariadb3 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tunescout \
    && install -d -o tunescout -g tunescout /opt/tunescout/data /var/cache/tunescout
COPY --from=build /opt/tunescout /opt/tunescout
WORKDIR /opt/tunescout
# Pictures need a folder for matplotlib's list of fonts.
ENV PATH=/opt/tunescout/venv/bin:$PATH HOST=0.0.0.0 PORT=8000 MPLCONFIGDIR=/var/cache/tunescout
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Of the configuration in the image; another one is mounted as a folder and named by TUNESCOUT_CONFIG.
VOLUME ["/opt/tunescout/data"]
EXPOSE 8000
# It starts once its databases have answered or been given up on.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/api/health', timeout=4)"]
CMD ["python", "app.py"]
