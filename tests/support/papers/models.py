"""Files named by fields of all kinds of models, and by a text."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class WithFile(models.Model):
    """What a table of its own is made of."""

    file = models.FileField(max_length=300, blank=True)

    class Meta:
        abstract = True


class Kept(models.Manager["Paper"]):
    def get_queryset(self) -> models.QuerySet[Paper]:
        return super().get_queryset().filter(is_deleted=False)


class Paper(WithFile):
    """One whose manager shows some rows only."""

    is_deleted = models.BooleanField(default=False)
    objects = Kept()


class Draft(Paper):
    class Meta:
        proxy = True


class Signed(Paper):
    """One with a table besides, and a file in that."""

    signature = models.FileField(null=True)


class Elsewhere(models.Model):
    """One whose storage a test sets."""

    objects: ClassVar[models.Manager[Elsewhere]] = models.Manager()
    file = models.FileField()


class Unmanaged(models.Model):
    """Somebody else's view of the table."""

    file = models.FileField()

    class Meta:
        managed = False
        db_table = "papers_elsewhere"


class OldName(models.Model):
    """A name in a history, which is a text there."""

    objects: ClassVar[models.Manager[OldName]] = models.Manager()
    text = models.CharField(max_length=300)
