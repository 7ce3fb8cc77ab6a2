"""What a visitor sees while a store cannot be used."""

from __future__ import annotations

import logging
from typing import ClassVar

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.template import TemplateDoesNotExist, loader
from django.utils.deprecation import MiddlewareMixin

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


class StoreErrorMiddleware(MiddlewareMixin):
    """Answers a request with status 503 where a store failed in it.

    The page is the site's template ``503.html``, which gets ``request``, or else a
    plain one. One warning in the log says which request it was, and why; without this
    middleware it is a 500, of which a site with DEBUG off logs nothing by default.
    A response that has begun is cut off instead: nothing else can be said by then.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = (StoreError,)
    """What is an outage. A subclass may say OSError, for a disk that is full."""
    template_name = "503.html"
    retry_after = 30
    """Seconds after which a client is asked to come back (RFC 9110, 10.2.3)."""

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Return the page, or None for what is no outage."""
        # A visitor who hung up in the middle of an upload is no error of the store.
        if not isinstance(exception, self.errors) or isinstance(
            exception, UnreadablePostError
        ):
            return None
        logger.warning(
            "%s %s: 503, for the file store failed: %s",
            request.method,
            printable(request.path),
            exception,
        )
        response = HttpResponse(self.page(request), status=503)
        response["Retry-After"] = str(self.retry_after)
        response["Cache-Control"] = "no-store"
        return response

    def page(self, request: HttpRequest) -> str:
        """Return the page that the visitor sees."""
        try:
            template = loader.get_template(self.template_name)
            return str(template.render({"request": request}, request))
        except TemplateDoesNotExist:
            return PAGE
        except Exception as error:
            # It may want what is away, such as the names of static files.
            logger.warning("The page %s can't be shown: %s", self.template_name, error)
            return PAGE
