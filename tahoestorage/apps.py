"""The Django app; with it in INSTALLED_APPS come the system checks and commands."""

from django.apps import AppConfig


class TahoeStorageConfig(AppConfig):
    """`tahoestorage` in INSTALLED_APPS."""

    name = "tahoestorage"
    verbose_name = "Tahoe-LAFS storage"

    def ready(self) -> None:
        """Register the system checks, and keep secrets out of error pages."""
        # Importing them is enough, and does it once.
        from tahoestorage import checks  # noqa: F401
        from tahoestorage.config.settings import filter_error_pages, hide_secrets

        hide_secrets()
        filter_error_pages()
