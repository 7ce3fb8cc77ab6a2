import logging

from django.apps import AppConfig
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _


class SharingConfig(AppConfig):
    name = "sharing"
    verbose_name = _("sharing")

    def ready(self) -> None:
        from sharing import links
        from sharing.logs import HideTokens
        from sharing.models import ShareLink

        # Whatever the row goes with.
        post_delete.connect(links.remember, sender=ShareLink)

        # They name the paths of requests.
        for name in ("django.request", "django.server"):
            logging.getLogger(name).addFilter(HideTokens())
