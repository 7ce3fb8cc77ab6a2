"""The API, version 1."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from api import problems, tokens
from api.objects import ContentView, ObjectViewSet

router = SimpleRouter()
router.register("objects", ObjectViewSet, basename="object")

app_name = "api"
urlpatterns = [
    path("tokens/", tokens.ObtainView.as_view(), name="tokens"),
    path("tokens/refresh/", tokens.RefreshView.as_view(), name="tokens-refresh"),
    path("tokens/revoke/", tokens.RevokeView.as_view(), name="tokens-revoke"),
    path("content/<path:path>", ContentView.as_view(), name="content"),
    path("", include(router.urls)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="api:schema"),
        name="docs",
    ),
    re_path("", problems.not_found),
]
