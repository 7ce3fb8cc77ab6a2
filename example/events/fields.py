"""The form's field for a photo."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from objects.pictures import BadPicture, PictureTooLarge, check_picture


class PhotoFormField(forms.ImageField):
    """Refuses what is no picture that pages show, and one of more than is taken."""

    def to_python(self, data: Any) -> Any:
        # Django's own has Pillow open files of any size, in every format that it knows.
        file: Any = super(forms.ImageField, self).to_python(data)
        if file is None:
            return None
        try:
            check_picture(file, file.size)
        except BadPicture as error:
            is_large = isinstance(error, PictureTooLarge)
            code = "too_large" if is_large else "invalid_image"
            raise ValidationError(str(error), code=code) from None
        file.seek(0)
        return file
