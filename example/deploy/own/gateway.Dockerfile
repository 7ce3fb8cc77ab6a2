# A Tahoe-LAFS gateway. Its folder is the volume /gateway: made by `tahoe create-client`,
# as the guide says, and to be backed up.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY requirements/gateway.txt /
# netifaces, which it asks for, needs a compiler; netifaces2 is the same module with wheels.
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /gateway.txt

FROM ${BASE}
COPY --from=build /venv /venv
RUN mkdir /gateway && chown 10002:10002 /gateway
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 HOME=/tmp
USER 10002:10002
VOLUME /gateway
# A file that says which process runs outlives a kill, and says 1, as this one is.
CMD ["sh", "-c", "rm -f /gateway/running.process && exec tahoe run --allow-stdin-close /gateway"]
