import logging

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SharingConfig(AppConfig):
    name = "sharing"
    verbose_name = _("sharing")

    def ready(self) -> None:
        from sharing.logs import HideTokens

        # They name the paths of requests.
        for name in ("django.request", "django.server"):
            logging.getLogger(name).addFilter(HideTokens())
