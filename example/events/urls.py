from django.urls import path

from events import editing, granting, uploads, views
from events.models import Session, Speaker

app_name = "events"
speaker, session = {"kind": Speaker}, {"kind": Session}
urlpatterns = [
    path("events/", views.event_list, name="list"),
    path("events/new/", editing.new_event, name="new"),
    path("events/<slug:slug>/", views.event_page, name="event"),
    path("events/<slug:slug>/edit/", editing.edit_event, name="edit"),
    path("events/<slug:slug>/delete/", editing.delete_event, name="delete"),
    path("events/<slug:slug>/access/", granting.grants, name="access"),
    path("events/<slug:slug>/access/revoke/", granting.revoke, name="revoke"),
    path("events/<slug:slug>/files/", uploads.add_files, name="files"),
    path(
        "events/<slug:slug>/uploads/",
        uploads.EventUploadsView.as_view(),
        name="uploads",
    ),
    path("events/<slug:slug>/add-photo/", editing.add_part, speaker, "add-photo"),
    path("events/<slug:slug>/add-slides/", editing.add_part, session, "add-slides"),
]
for kind, given in (("speakers", speaker), ("sessions", session)):
    one = f"events/<slug:slug>/{kind}/<int:pk>/"
    urlpatterns += [
        path(f"{one}edit/", editing.edit_part, given, f"edit-{kind}"),
        path(f"{one}delete/", editing.delete_part, given, f"delete-{kind}"),
        path(f"{one}move/", editing.move_part, given, f"move-{kind}"),
        path(
            f"{one}upload/",
            uploads.EventUploadsView.as_view(),
            given,
            f"upload-{kind}",
        ),
    ]
urlpatterns += [
    path("sessions/<int:pk>/slides/", views.media, session, "slides"),
    path("speakers/<int:pk>/photo/", views.media, speaker, "photo"),
    path("speakers/<int:pk>/thumbnail/", views.thumbnail, name="thumbnail"),
]
