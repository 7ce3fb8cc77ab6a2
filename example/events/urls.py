from django.urls import path

from events import views

app_name = "events"
urlpatterns = [
    path("", views.event_list, name="list"),
    path("events/<slug:slug>/", views.event_page, name="event"),
    path("events/<slug:slug>/add-slides/", views.add_slides, name="add-slides"),
    path("events/<slug:slug>/add-photo/", views.add_photo, name="add-photo"),
    path("sessions/<int:pk>/slides/", views.slides, name="slides"),
    path("speakers/<int:pk>/photo/", views.photo, name="photo"),
]
