from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_save


class EventsConfig(AppConfig):
    name = "events"

    def ready(self) -> None:
        from events.arriving import PURPOSE, ForEvents
        from uploads import purposes

        post_save.connect(forget_elsewhere, sender=settings.AUTH_USER_MODEL)
        purposes.register(PURPOSE, ForEvents())


def forget_elsewhere(
    instance: Any, created: bool, update_fields: Any = None, **kwargs: Any
) -> None:
    """Whoever moves to another tenant leaves behind what was granted to them."""
    from events.access import EVENTS

    if not created and (update_fields is None or "tenant" in update_fields):
        EVENTS.forget_elsewhere(instance)
