"""File fields whose URLs are pages of this site.

A store may have no URLs to give: `TahoeStorage` has none without a public base
URL, and a file may not be for everybody. Whatever asks a file for its URL, the
admin too, is sent to the site's own download here.
"""

from __future__ import annotations

from django.db import models
from django.db.models.fields.files import FieldFile, ImageFieldFile
from django.urls import reverse


class SlidesFile(FieldFile):
    @property
    def url(self) -> str:
        return reverse("events:slides", args=[self.instance.pk])


class PhotoFile(ImageFieldFile):
    @property
    def url(self) -> str:
        return reverse("events:photo", args=[self.instance.pk])


class SlidesField(models.FileField):
    attr_class = SlidesFile


class PhotoField(models.ImageField):
    attr_class = PhotoFile
