"""What the API takes and gives."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.response import Response

from api import links
from objects import names
from objects.conditions import object_etag
from objects.models import StoredObject, Version


def cleaned(clean: Any, value: str) -> str:
    """Return what cleans it, as an error of a field where it raises."""
    try:
        return str(clean(value))
    except ValidationError as error:
        raise serializers.ValidationError(error.messages) from None


class ObjectSerializer(serializers.ModelSerializer[StoredObject]):
    """An object's metadata."""

    state = serializers.ChoiceField(("pending", "stored", "deleted"), read_only=True)
    version = serializers.IntegerField(
        source="current.number", read_only=True, default=None, allow_null=True
    )
    link = serializers.SerializerMethodField(
        help_text="An address good for some minutes, where a list was asked for links."
    )

    class Meta:
        model = StoredObject
        fields = (
            "id",
            "folder",
            "name",
            "size",
            "content_type",
            "sha256",
            "owner",
            "state",
            "version",
            "created_at",
            "updated_at",
            "deleted_at",
            "link",
        )
        read_only_fields = fields

    def get_link(self, found: StoredObject) -> str | None:
        if not self.context.get("links") or found.deleted_at or found.current is None:
            return None
        request = self.context["request"]
        return links.link_to(request, found, found.current).url


class VersionSerializer(serializers.ModelSerializer[Version]):
    """The content of an object from one upload."""

    class Meta:
        model = Version
        fields = (
            "number",
            "size",
            "content_type",
            "sha256",
            "created_by",
            "created_at",
        )
        read_only_fields = fields


class RenamingSerializer(serializers.Serializer[Any]):
    """Where an object is to be; what is left out stays."""

    folder = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False
    )
    name = serializers.CharField(required=False, trim_whitespace=False)

    def validate_name(self, value: str) -> str:
        return cleaned(names.clean_name, value)

    def validate_folder(self, value: str) -> str:
        return cleaned(names.clean_folder, value)


class ListParametersSerializer(serializers.Serializer[Any]):
    """What a list of objects shows."""

    deleted = serializers.BooleanField(
        default=False, help_text="The deleted ones, in place of the others."
    )
    links = serializers.BooleanField(
        default=False, help_text="With a link to each one's content."
    )


class LinkParametersSerializer(serializers.Serializer[Any]):
    """Whether the content is wanted, or the way to it."""

    link = serializers.BooleanField(
        default=False, help_text="Give a link to the content in place of it."
    )


class LinkSerializer(serializers.Serializer[Any]):
    """An address by which anybody reads a content, for some minutes."""

    url = serializers.URLField()
    expires_at = serializers.DateTimeField()


class NamedSerializer(serializers.Serializer[Any]):
    """Where a new object is to be."""

    folder = serializers.CharField(default="", allow_blank=True, trim_whitespace=False)
    name = serializers.CharField(trim_whitespace=False)

    def validate_name(self, value: str) -> str:
        return cleaned(names.clean_name, value)

    def validate_folder(self, value: str) -> str:
        return cleaned(names.clean_folder, value)


class NewObjectSerializer(NamedSerializer):
    """An object to be made, with its content, as multipart/form-data."""

    file = serializers.FileField(allow_empty_file=True)
    name = serializers.CharField(
        required=False, trim_whitespace=False, help_text="The file's own unless given."
    )


_OF_OBJECTS = ObjectSerializer()


def described(found: StoredObject) -> dict[str, Any]:
    """Return an object's metadata.

    The serializer is made once: to make it takes longer than to use it.
    """
    metadata: dict[str, Any] = _OF_OBJECTS.to_representation(found)
    return metadata


def shown(found: StoredObject) -> Response:
    """Return the response that shows an object's metadata."""
    headers = {"ETag": object_etag(found)}
    return Response(described(found), headers=headers)
