# syntax=docker/dockerfile:1
# The connector as an Airbyte image: docker build -t airbyte/source-coupa:dev .
# It follows the Dockerfile that Airbyte shares between its Python connectors; the base image is the one in metadata.yaml.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0@sha256:1d1aa21d34e851df4e8a87b391c27724c06e2597608e7161f4d167be853bd7b6

FROM ${BASE_IMAGE} AS builder

WORKDIR /airbyte/integration_code
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY source_coupa ./source_coupa
# the versions the tests run with; what only the tests need is named there too and stays out
RUN pip install --no-cache-dir --constraint requirements-dev.txt .

FROM ${BASE_IMAGE}

WORKDIR /airbyte/integration_code
COPY --from=builder /usr/local /usr/local
COPY --chmod=755 <<"EOT" /entrypoint.sh
#!/usr/bin/env bash
exec source-coupa "$@"
EOT

USER airbyte

ENV AIRBYTE_ENTRYPOINT="/entrypoint.sh"
ENTRYPOINT ["/entrypoint.sh"]

LABEL io.airbyte.name=airbyte/source-coupa
LABEL io.airbyte.version=0.1.0
