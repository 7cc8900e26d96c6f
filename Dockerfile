# The connector as an Airbyte image: docker build -t airbyte/source-coupa:dev .
# `bin/image` builds it, tries it against the sandbox and prints its size; with Docker, or with buildah and no daemon.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0@sha256:1d1aa21d34e851df4e8a87b391c27724c06e2597608e7161f4d167be853bd7b6

FROM ${BASE_IMAGE} AS builder

WORKDIR /airbyte/integration_code
COPY pyproject.toml README.md LICENSE NOTICE requirements-image.txt requirements-build.txt ./
COPY source_coupa ./source_coupa
# An environment of its own, because the base image has packages too, of other versions. It holds the exact packages
# that the tests run with, each proved by its hash. What builds the connector's own package stays outside of it.
# Modules are compiled here, as the user of the image cannot write, and by hash: layers round the times of files, and
# Python took half of what pip compiles for stale.
# A machine that needs settings of its own to reach packages gives them as secrets, which stay out of the image.
RUN --mount=type=secret,id=pip_settings,target=/etc/pip.conf \
    --mount=type=secret,id=pip_certificates,target=/run/pip_certificates.pem \
    export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_DEPS=1 && \
    python -m venv --without-pip /opt/build && python -m venv --without-pip /opt/source-coupa && \
    pip --python /opt/build/bin/python install --require-hashes -r requirements-build.txt && \
    pip --python /opt/build/bin/python wheel --no-build-isolation --wheel-dir /opt/build . && \
    pip --python /opt/source-coupa/bin/python install --no-compile --require-hashes -r requirements-image.txt && \
    pip --python /opt/source-coupa/bin/python install --no-compile /opt/build/*.whl && \
    cp LICENSE NOTICE /opt/source-coupa/ && \
    python -m compileall -qf --invalidation-mode unchecked-hash -x '/tests/' /opt/source-coupa/lib

FROM ${BASE_IMAGE}

WORKDIR /airbyte/integration_code
COPY --from=builder /opt/source-coupa /opt/source-coupa

USER airbyte

ENV AIRBYTE_ENTRYPOINT="/opt/source-coupa/bin/source-coupa"
ENTRYPOINT ["/opt/source-coupa/bin/source-coupa"]

LABEL io.airbyte.name=airbyte/source-coupa
LABEL io.airbyte.version=0.1.0
