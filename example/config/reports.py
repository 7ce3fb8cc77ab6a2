"""What Django's error pages and error mails may show."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class HidesCaps(SafeExceptionReporterFilter):
    """Django's own filter, which also takes a setting with a cap for a secret."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|CAP", re.IGNORECASE
    )
