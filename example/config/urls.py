from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from accounts.pages import ChangeInAdminView
from accounts.scoping import view_on_site
from api import problems
from api.shares import ShareView

urlpatterns = [
    # Before Django's own, by which anybody at an open screen could guess for ever.
    path("admin/password_change/", admin.site.admin_view(ChangeInAdminView.as_view())),
    path("admin/r/<path:row>", view_on_site),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.pages")),
    path("api/v1/", include("api.urls")),
    path("exports/", include("exports.urls")),
    path("s/<str:token>", ShareView.as_view(), name="share"),
    re_path("^api/", problems.not_found),
    path("", include("pages.urls")),
    path("", include("events.urls")),
]
if settings.TAHOE_METRICS_TOKEN:
    # Of an extra, which is there if the token is set.
    from tahoestorage.metrics import metrics

    urlpatterns.insert(0, path("metrics", metrics))
handler400 = problems.bad_request
handler403 = problems.permission_denied
handler500 = problems.server_error
