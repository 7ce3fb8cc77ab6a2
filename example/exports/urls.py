from django.urls import path

from exports import views

app_name = "exports"
urlpatterns = [
    path("", views.export_list, name="list"),
    path("start/", views.start, name="start"),
    path("store/", views.choose_store, name="store"),
    path("import/", views.start_import, name="import"),
    path("imports/<uuid:pk>/", views.import_page, name="import-page"),
    path("imports/<uuid:pk>/state/", views.import_state, name="import-state"),
    path("imports/<uuid:pk>/cancel/", views.cancel_import, name="cancel-import"),
    path("<uuid:pk>/", views.export_page, name="export"),
    path("<uuid:pk>/state/", views.state, name="state"),
    path("<uuid:pk>/download/", views.download, name="download"),
    path("<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("<uuid:pk>/pin/", views.pin, name="pin"),
    path("<uuid:pk>/delete/", views.delete, name="delete"),
]
