# One image for everything that runs: code server (the default), daemon, web server, workers, runs, `mma`.
#
#   docker build -t mma-pipeline:0.2.0 .
#
# BASE is a Debian 12 with Python 3.11; give it by digest where two builds must begin alike.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# Two dependencies (astroplan, pims) come as source only; both are pure Python, so no compiler is needed.
# Every package by name, version and hash, the tools that build the wheel among them.
COPY constraints.txt constraints-run.txt ./
RUN for name in uv hatchling packaging pathspec pluggy trove-classifiers; do \
      sed -n "/^$name==/,/[^\\\\]\$/p" constraints.txt; done > tools.txt \
 && python3 -m venv /tools && /tools/bin/pip install -q --no-deps --require-hashes -r tools.txt \
 && python3 -m venv --without-pip /opt/mma \
 && /tools/bin/uv pip install -q --no-cache --python /opt/mma/bin/python --require-hashes -r constraints-run.txt
COPY pyproject.toml README.md LICENSE ./
COPY mma_pipeline ./mma_pipeline
# The package as a wheel.
RUN /tools/bin/pip wheel -q --no-deps --no-build-isolation --no-cache-dir -w dist . \
 && /tools/bin/uv pip install -q --no-cache --no-deps --python /opt/mma/bin/python dist/*.whl
# What nothing here reads stays behind: the packages' own tests, C sources and headers, source maps of the UI, Arrow's RPC
# and S3 clients, AWS services beside S3 and its logins, the asynchronous Kubernetes client, zarr, LALSuite beside its base
# library (the only part that ligo.skymap's distances load).
RUN cd /opt/mma/lib/python3.11/site-packages \
 && find . -type d -name tests ! -path ./astropy/tests -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.js.map' -o -name '*.pyx' -o -name '*.px[di]' -o -name '*.[cha]' -o -name '*.[ch]pp' \) -delete \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name 's3*' ! -name sts ! -name 'sso*' ! -name signin -exec rm -rf {} + \
 && rm -rf pyarrow/include pyarrow/*flight* pyarrow/*arrow_s3* pyarrow/_s3fs* kubernetes/aio \
      lalapps lalburst lalframe lalinference lalinspiral lalmetaio lalpulsar lalsimulation \
 && find lalsuite.libs \( -name 'liblal*' -o -name 'libframel*' -o -name 'libmetaio*' \) ! -name 'liblal-*' ! -name 'liblalsupport-*' -delete \
 && /tools/bin/uv pip uninstall -q --no-cache --python /opt/mma/bin/python zarr numcodecs
# Bytecode goes along, since nobody can write it to a read-only root later.
RUN /opt/mma/bin/python -m compileall -q -j 0 /opt/mma/lib > /dev/null || true
RUN /opt/mma/bin/mma --version

FROM ${BASE}
RUN groupadd -g 10001 mma && useradd -u 10001 -g mma -d /tmp -s /usr/sbin/nologin mma \
 && mkdir -p /opt/dagster/home && chown mma:mma /opt/dagster/home
COPY --from=build /opt/mma /opt/mma
# State without the chart goes to DAGSTER_HOME, the only place that is written to beside /tmp.
ENV PATH=/opt/mma/bin:/usr/local/bin:/usr/bin:/bin DAGSTER_HOME=/opt/dagster/home HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 3030
# For the default command; Kubernetes has probes of its own for each part.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
  CMD ["dagster", "api", "grpc-health-check", "-p", "3030"]
CMD ["dagster", "api", "grpc", "-m", "mma_pipeline.definitions", "-h", "0.0.0.0", "-p", "3030", "--log-format", "json"]
