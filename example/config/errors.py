"""Errors that are told as they are."""

from __future__ import annotations


class ForPeople(Exception):
    """An error whose text is a sentence for people, and tells no secret."""
