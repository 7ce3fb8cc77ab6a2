from django.urls import path

from pages import actions, contents, files, status, uploads, usage

ONE = "files/<uuid:pk>/"

app_name = "pages"
urlpatterns = [
    path("", files.home, name="home"),
    path("files/", files.files, name="files"),
    path("files/upload/", uploads.upload, name="upload"),
    path("files/uploads/", uploads.ResumableView.as_view(), name="uploads"),
    path("files/uploads/jobs/<uuid:pk>/", uploads.job, name="upload-job"),
    path("files/new-folder/", actions.new_folder, name="new-folder"),
    path("files/deleted/", files.deleted, name="deleted"),
    path("usage/", usage.usage, name="usage"),
    path("status/", status.status, name="status"),
    path("status/checks/", status.checks, name="checks"),
    path("status/grids/", status.grids, name="grids"),
    path("status/jobs/", status.jobs, name="jobs"),
    path("status/jobs/<uuid:pk>/cancel/", status.cancel_job, name="cancel-job"),
    path("status/jobs/<uuid:pk>/again/", status.try_again, name="try-again"),
    path(ONE, files.detail, name="file"),
    path(ONE + "text/", files.text, name="text"),
    path(ONE + "content/", contents.content, name="content"),
    path(ONE + "download/", contents.download, name="download"),
    path(ONE + "thumbnail/", contents.thumbnail, name="thumbnail"),
    path(ONE + "edit/", actions.edit, name="edit"),
    path(ONE + "delete/", actions.delete, name="delete"),
    path(ONE + "undelete/", actions.undelete, name="undelete"),
    path(ONE + "share/", actions.share, name="share"),
    path(ONE + "share/<uuid:link>/revoke/", actions.revoke, name="revoke"),
    path(ONE + "versions/<int:number>/", contents.version, name="version"),
    path(ONE + "versions/<int:number>/restore/", actions.restore, name="restore"),
]
