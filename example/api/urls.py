"""The API, version 1."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from api import contents, direct, links, passwords, problems, tokens, usage, versions
from api.audit import AuditViewSet
from api.docs import DocsView, SchemaView
from api.exports import ExportViewSet
from api.jobs import JobViewSet
from api.objects import ObjectViewSet
from api.permissions import DefaultViewSet, PermissionsView, PermissionView
from api.shares import ShareLinkViewSet
from api.tenants import GroupViewSet, TenantViewSet
from api.tus import UploadView
from api.tuscreation import UploadsView
from api.users import UserViewSet

router = SimpleRouter()
router.register("objects", ObjectViewSet, basename="object")
router.register("default-permissions", DefaultViewSet, basename="default-permission")
router.register("exports", ExportViewSet, basename="export")
router.register("audit", AuditViewSet, basename="audit")
router.register("shares", ShareLinkViewSet, basename="share")
router.register("tenants", TenantViewSet, basename="tenant")
router.register("users", UserViewSet, basename="user")
router.register("groups", GroupViewSet, basename="group")
router.register("jobs", JobViewSet, basename="job")

ONE = "objects/<uuid:pk>/"
VERSION = ONE + "versions/<int:number>/"

app_name = "api"
urlpatterns = [
    path("tokens/", tokens.ObtainView.as_view(), name="tokens"),
    path("tokens/refresh/", tokens.RefreshView.as_view(), name="tokens-refresh"),
    path("tokens/revoke/", tokens.RevokeView.as_view(), name="tokens-revoke"),
    path("passwords/reset/", passwords.ResetView.as_view(), name="passwords-reset"),
    path("passwords/set/", passwords.SetView.as_view(), name="passwords-set"),
    path("passwords/change/", passwords.ChangeView.as_view(), name="passwords-change"),
    path("content/<path:path>", contents.ContentView.as_view(), name="content"),
    path(ONE + "content/", contents.ObjectContentView.as_view(), name="object-content"),
    path(ONE + "versions/", versions.VersionsView.as_view(), name="versions"),
    path(
        ONE + "permissions/",
        PermissionsView.as_view(),
        name="object-permissions",
    ),
    path(
        ONE + "permissions/users/<int:holder>/",
        PermissionView.as_view(kind="user"),
        name="object-permission-user",
    ),
    path(
        ONE + "permissions/groups/<int:holder>/",
        PermissionView.as_view(kind="group"),
        name="object-permission-group",
    ),
    path(
        VERSION + "content/",
        versions.VersionContentView.as_view(),
        name="version-content",
    ),
    path(
        VERSION + "restore/",
        versions.VersionRestoreView.as_view(),
        name="version-restore",
    ),
    path("links/<str:token>/", links.LinkView.as_view(), name="link"),
    path("usage/", usage.UsageView.as_view(), name="usage"),
    path("uploads/", UploadsView.as_view(), name="uploads"),
    path("uploads/direct/", direct.DirectUploadsView.as_view(), name="direct-uploads"),
    path(
        "uploads/direct/<uuid:pk>/",
        direct.DirectUploadView.as_view(),
        name="direct-upload",
    ),
    path("uploads/<uuid:pk>/", UploadView.as_view(), name="upload"),
    path("", include(router.urls)),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="api:schema"), name="docs"),
    re_path("", problems.not_found),
]
