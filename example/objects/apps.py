from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register
from django.db.models.signals import post_save


class ObjectsConfig(AppConfig):
    name = "objects"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("objects.ownfiles")
        register(_check_places, Tags.files)
        post_save.connect(forget_elsewhere, sender=settings.AUTH_USER_MODEL)


def _check_places(**options: Any) -> Any:
    from objects import checks

    return checks.check_places(**options)


def forget_elsewhere(
    instance: Any, created: bool, update_fields: Any = None, **kwargs: Any
) -> None:
    """Whoever moves to another tenant leaves behind what was granted to them."""
    from objects import grants

    if not created and (update_fields is None or "tenant" in update_fields):
        grants.forget_elsewhere(instance)
