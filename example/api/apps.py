from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"

    def ready(self) -> None:
        # It registers itself with drf-spectacular.
        from api import schema  # noqa: F401
