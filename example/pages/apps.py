from importlib import import_module

from django.apps import AppConfig
from django.core.signals import request_finished


class PagesConfig(AppConfig):
    name = "pages"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from jobs import running
        from pages import failures

        import_module("pages.ownfiles")
        request_finished.connect(failures.write)
        running.finished.connect(failures.write)
