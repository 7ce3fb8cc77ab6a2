"""What the API takes and gives."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers

from objects import names
from objects.models import StoredObject


def _cleaned(clean: Any, value: str) -> str:
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
        )
        read_only_fields = (
            "id",
            "size",
            "sha256",
            "content_type",
            "owner",
            "created_at",
            "updated_at",
        )

    def validate_name(self, value: str) -> str:
        return _cleaned(names.clean_name, value)

    def validate_folder(self, value: str) -> str:
        return _cleaned(names.clean_folder, value)


class NewObjectSerializer(serializers.Serializer[Any]):
    """An object to be made, with its content, as multipart/form-data."""

    file = serializers.FileField(allow_empty_file=True)
    folder = serializers.CharField(default="", allow_blank=True, trim_whitespace=False)
    name = serializers.CharField(
        required=False, trim_whitespace=False, help_text="The file's own unless given."
    )

    def validate_name(self, value: str) -> str:
        return _cleaned(names.clean_name, value)

    def validate_folder(self, value: str) -> str:
        return _cleaned(names.clean_folder, value)
