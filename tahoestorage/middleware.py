"""The page that a visitor sees while a store cannot be used: status 503."""

from __future__ import annotations

import logging
from typing import ClassVar

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.template import TemplateDoesNotExist, loader
from django.utils.deprecation import MiddlewareMixin
from django.utils.log import log_response

from tahoestorage.exceptions import StoreError, printable

logger = logging.getLogger("tahoestorage.outage")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The files are away</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto;
    padding: 0 1rem }
</style>
<h1>The files are away just now</h1>
<p>The place where this site keeps its files did not do what was asked. Nothing is lost.
If you were uploading, your file was not added. Please try again in a minute.</p>
</body></html>
"""
"""What visitors see where the site has no ``503.html``."""


class StoreErrorMiddleware(MiddlewareMixin):
    """Responds with status 503 (RFC 9110, 15.6.4) where a view raises StoreError.

    The page is the site's template ``503.html``, which gets ``request``, or else a
    plain one. One warning in the logger ``tahoestorage.outage`` says which request it
    was, and why. Without this middleware it is a 500. A response that has begun is cut
    off instead, for its status has been sent.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = (StoreError,)
    """Errors that are outages. A subclass may add OSError, for a full disk."""
    template_name = "503.html"
    """The site's own page, used where it is there."""
    retry_after = 30
    """Seconds after which a client is asked to come back (RFC 9110, 10.2.3)."""

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Return the response with the page; None for other errors."""
        # A visitor who hung up in the middle of an upload is no error of the store.
        if not isinstance(exception, self.errors) or isinstance(
            exception, UnreadablePostError
        ):
            return None
        response = HttpResponse(self.page(request), status=503)
        response["Retry-After"] = str(self.retry_after)
        response["Cache-Control"] = "no-store"
        text = f"{request.method} {printable(request.path)}: 503, for the file store "
        # By Django's own function, or Django would log it again, and mail it to ADMINS.
        log_response(
            f"{text}failed: {exception}",
            response=response,
            request=request,
            logger=logger,
            level="warning",
        )
        return response

    def page(self, request: HttpRequest) -> str:
        """Return the page as HTML; a plain one where the template fails."""
        try:
            template = loader.get_template(self.template_name)
            return str(template.render({"request": request}, request))
        except TemplateDoesNotExist:
            return PAGE
        except Exception as error:
            # It may want what is away, such as the names of static files.
            logger.warning("The page %s can't be shown: %s", self.template_name, error)
            return PAGE
