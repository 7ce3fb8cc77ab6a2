"""The form's field for a photo."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from objects.pictures import PictureTooLarge, check_pixels


class PhotoFormField(forms.ImageField):
    """Refuses what is no picture, and one that unpacks to more than is taken."""

    def to_python(self, data: Any) -> Any:
        file: Any = super().to_python(data)
        if file is not None:
            try:
                check_pixels(file.image)
            except PictureTooLarge as error:
                raise ValidationError(str(error), code="too_large") from None
        return file
