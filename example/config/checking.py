"""What is checked before a command begins."""

from django.core.checks import Tags

FOR_COMMANDS = (Tags.caches, Tags.files)
"""What differs from site to site. To import all pages and the API takes half as long
again as to start; `manage.py check` looks at all of it.
"""
