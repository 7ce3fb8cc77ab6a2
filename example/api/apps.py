from importlib import import_module

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"

    def ready(self) -> None:
        # It registers itself with drf-spectacular.
        import_module("api.schema")
