from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ExportsConfig(AppConfig):
    name = "exports"
    verbose_name = _("exports")

    def ready(self) -> None:
        from exports import places

        import_module("exports.ownfiles")
        places.check_settings()  # Not when the first export is started.
