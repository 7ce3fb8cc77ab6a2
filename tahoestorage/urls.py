"""The files of the default storage, to be included below MEDIA_URL.

``path("media/", include("tahoestorage.urls"))``
"""

from django.urls import re_path

from tahoestorage.serving import Download

app_name = "tahoestorage"
# Not <path:name>: a line break may be in a name too.
urlpatterns = [
    re_path(r"^(?P<name>[\s\S]+)\Z", Download.as_view(), name="download"),
]
