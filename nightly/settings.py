"""A site with the applications that keep files, on SQLite in memory."""

SECRET_KEY = "of-the-tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "django.contrib.staticfiles",
    "taggit",
    "modelcluster",
    "django_tasks",
    "wagtail",
    "wagtail.users",
    "wagtail.admin",
    "wagtail.search",
    "wagtail.images",
    "wagtail.documents",
    "wagtail.sites",
    "easy_thumbnails",
    "sorl.thumbnail",
    "imagekit",
    "import_export",
    "tahoestorage",
]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
TAHOE_STORAGE_URL_STYLE = "path"
ROOT_URLCONF = "nightly.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
WAGTAIL_SITE_NAME = "tests"
WAGTAILADMIN_BASE_URL = "http://localhost"
# Renditions and thumbnails are kept where the files are.
THUMBNAIL_STORAGE = "nightly.storages.Default"
THUMBNAIL_DEFAULT_STORAGE = "nightly.storages.Default"
THUMBNAIL_DEFAULT_STORAGE_ALIAS = "default"
THUMBNAIL_NAMER = "easy_thumbnails.namers.hashed"
IMAGEKIT_DEFAULT_FILE_STORAGE = "default"
IMAGEKIT_SPEC_CACHEFILE_NAMER = "imagekit.cachefiles.namers.source_name_as_path"
