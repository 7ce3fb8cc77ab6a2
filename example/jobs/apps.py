from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        autodiscover_modules("tasks")  # Each app's kinds of jobs.
        if settings.CELERY_BROKER_URL:
            import_module("jobs.messages")  # Now, not in the first request.
