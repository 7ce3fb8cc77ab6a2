from django.contrib import admin
from django.urls import include, path, re_path

from api import problems

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("api.urls")),
    re_path("^api/", problems.not_found),
    path("", include("events.urls")),
]
handler400 = problems.bad_request
handler403 = problems.permission_denied
handler500 = problems.server_error
