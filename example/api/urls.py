"""The API, version 1."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from api import passwords, problems, tokens
from api.audit import AuditViewSet
from api.objects import ContentView, ObjectViewSet
from api.permissions import DefaultViewSet, PermissionsView, PermissionView
from api.shares import ShareLinkViewSet
from api.tenants import GroupViewSet, TenantViewSet
from api.users import UserViewSet

router = SimpleRouter()
router.register("objects", ObjectViewSet, basename="object")
router.register("default-permissions", DefaultViewSet, basename="default-permission")
router.register("audit", AuditViewSet, basename="audit")
router.register("shares", ShareLinkViewSet, basename="share")
router.register("tenants", TenantViewSet, basename="tenant")
router.register("users", UserViewSet, basename="user")
router.register("groups", GroupViewSet, basename="group")

app_name = "api"
urlpatterns = [
    path("tokens/", tokens.ObtainView.as_view(), name="tokens"),
    path("tokens/refresh/", tokens.RefreshView.as_view(), name="tokens-refresh"),
    path("tokens/revoke/", tokens.RevokeView.as_view(), name="tokens-revoke"),
    path("passwords/reset/", passwords.ResetView.as_view(), name="passwords-reset"),
    path("passwords/set/", passwords.SetView.as_view(), name="passwords-set"),
    path("passwords/change/", passwords.ChangeView.as_view(), name="passwords-change"),
    path("content/<path:path>", ContentView.as_view(), name="content"),
    path(
        "objects/<uuid:pk>/permissions/",
        PermissionsView.as_view(),
        name="object-permissions",
    ),
    path(
        "objects/<uuid:pk>/permissions/users/<int:holder>/",
        PermissionView.as_view(kind="user"),
        name="object-permission-user",
    ),
    path(
        "objects/<uuid:pk>/permissions/groups/<int:holder>/",
        PermissionView.as_view(kind="group"),
        name="object-permission-group",
    ),
    path("", include(router.urls)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="api:schema"),
        name="docs",
    ),
    re_path("", problems.not_found),
]
