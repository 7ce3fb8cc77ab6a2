"""The Django app; with it in INSTALLED_APPS come the system checks and commands."""

import logging
import os
from importlib import import_module

from django.apps import AppConfig

logger = logging.getLogger(__name__)


class TahoeStorageConfig(AppConfig):
    """`tahoestorage` in INSTALLED_APPS."""

    name = "tahoestorage"
    verbose_name = "Tahoe-LAFS storage"

    def ready(self) -> None:
        """Register the system checks, and keep secrets out of error pages."""
        # Importing them is enough, and does it once.
        import_module("tahoestorage.checks")
        from tahoestorage.config.settings import (
            filter_error_pages,
            hide_secrets,
            metrics_token,
        )

        hide_secrets()
        filter_error_pages()
        if metrics_token() is not None:
            from tahoestorage import metering
            from tahoestorage.care.livecounts import PLACE

            place = os.environ.get(PLACE)
            if place is not None and not _is_usable(place):
                # prometheus_client reads it when it is imported, takes an empty one for
                # the current directory, and opens files there: commands would not run.
                del os.environ[PLACE]
            # An extra.
            from tahoestorage.metrics import PrometheusMeter

            metering.use(PrometheusMeter())
            if place and PLACE not in os.environ:
                # Whoever tells the counts looks for it.
                os.environ[PLACE] = place
                logger.warning(
                    "This process counts for itself alone: %s, %s, is no directory "
                    "that it may write to.",
                    PLACE,
                    place,
                )


def _is_usable(place: str) -> bool:
    return os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
