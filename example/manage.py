#!/usr/bin/env python
"""Django's command line for the example."""

import os
import sys

if __name__ == "__main__":
    # Another release may take this one's place by a link: what is read later is still
    # this one's.
    sys.path[:] = map(os.path.realpath, sys.path)
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
