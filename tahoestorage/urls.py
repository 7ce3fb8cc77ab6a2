"""The files of the default storage, to be included below MEDIA_URL.

``path("media/", include("tahoestorage.urls"))``
"""

from django.urls import path

from tahoestorage.serving import Download

app_name = "tahoestorage"
urlpatterns = [path("<path:name>", Download.as_view(), name="download")]
