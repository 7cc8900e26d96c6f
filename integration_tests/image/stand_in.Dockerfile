# A base image for tries where Airbyte's is out of reach: Debian with its Python, and what the connector meets of
# airbyte/python-connector-base: the user, the folder, the clock, pip.
FROM scratch
ADD rootfs.tar /
RUN ln -s /usr/bin/python3 /usr/local/bin/python && \
    ln -snf /usr/share/zoneinfo/Etc/UTC /etc/localtime && \
    adduser --uid 1000 --system --group --no-create-home airbyte && \
    mkdir --mode 755 /airbyte && chown airbyte:airbyte /airbyte
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
