# The image of the site, which is built first, with what a backup takes: pg_dump, of the
# database's version, and folders to write to, whose owner volumes get.
ARG BASE=store
FROM ${BASE}
USER root
RUN apt-get update \
    && apt-get install --no-install-recommends --yes postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 -m 0700 /srv/backup /srv/state
USER 10001:10001
