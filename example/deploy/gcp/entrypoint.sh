#!/bin/sh
# What the service's container runs: gunicorn on $PORT, in place of this shell, so that
# it gets the signals. Cloud Run kills 10 seconds after SIGTERM; requests have 8 of them.
# service.yaml lets fewer requests in than there are threads, for its probes need one.
# Without --timeout 0 a slow request would have its process killed. Further arguments are
# gunicorn's.
set -eu
exec gunicorn config.wsgi \
    --bind "0.0.0.0:${PORT:-8080}" \
    --workers "${WEB_WORKERS:-1}" \
    --threads "${WEB_THREADS:-8}" \
    --timeout 0 \
    --graceful-timeout "${WEB_GRACE:-8}" \
    --no-control-socket \
    "$@"
