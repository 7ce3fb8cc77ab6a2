"""The Django app; with it in INSTALLED_APPS come the system checks and commands."""

import os
from importlib import import_module

from django.apps import AppConfig


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

            if not os.environ.get(PLACE, PLACE):
                # prometheus_client would take it for the current directory.
                del os.environ[PLACE]
            # An extra, and one that reads the environment when it is imported.
            from tahoestorage.metrics import PrometheusMeter

            metering.use(PrometheusMeter())
