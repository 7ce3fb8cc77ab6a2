"""Figures of the application in ``example/``: each module here is one, a command."""
