"""The uploads, and Wagtail's documents and images."""

from django.urls import include, path
from wagtail.documents import urls as documents

urlpatterns = [
    path("media/", include("tahoestorage.urls")),
    path("documents/", include(documents)),
]
