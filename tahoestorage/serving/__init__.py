"""Downloads through the site: a stored file as a response, and a view of it."""

from tahoestorage.serving.response import serve
from tahoestorage.serving.views import Download

__all__ = ["Download", "serve"]
