"""The example's settings, wholly from the environment; README.md lists them."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from config.numbers import MOST, number, number_or_all, number_or_none
from config.secrets import secret
from tahoestorage import env

BASE_DIR = Path(__file__).resolve().parent.parent
YEAR = 365 * 24 * 60 * 60  # seconds


def flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def words(name: str) -> list[str]:
    return os.environ.get(name, "").replace(",", " ").split()


def rate(name: str, default: str) -> str | None:
    """Return requests in a second, minute, hour or day, as `600/minute`, or None."""
    text = os.environ.get(name) or default
    if text == "off":
        return None
    if not re.fullmatch(r"[1-9]\d*/(second|minute|hour|day)", text):
        raise ImproperlyConfigured(f"{name} must be like 600/minute, or off.")
    return text


DEBUG = flag("DEBUG")
SECRET_KEY = secret("SECRET_KEY") or ("insecure-development-key" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY, or DEBUG=1 for development.")
ALLOWED_HOSTS = words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")
# Proxies before this site, each of which adds to X-Forwarded-For and sets
# X-Forwarded-Proto. With none, what callers say of themselves there is not believed.
PROXIES = number("PROXIES", 0, least=0, most=100)
if PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
HTTPS = flag("HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
if HTTPS:
    SECURE_HSTS_SECONDS = number("HSTS_SECONDS", YEAR, least=0, most=100 * YEAR)
# The domain's other hosts are not this site's to decide about.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

INSTALLED_APPS = [
    # Before Django's own: it has commands of the same names.
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "tahoestorage",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    # Before the other apps: the templates that theirs stand on are here.
    "pages",
    "objects",
    "uploads",
    "sharing",
    "audit",
    "jobs",
    "api",
    "events",
    "exports",
]
FILE_UPLOAD_HANDLERS = ["config.formfiles.InMemory", "config.formfiles.OnDisk"]
MIDDLEWARE = [
    # First: a load balancer asks by plain HTTP, and by an address of this host.
    "config.health.Health",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    # Before the one that reads forms.
    "config.formbounds.FormBounds",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.zones.TimeZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "exports.middleware.ReadyExports",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pages.policy.ContentPolicy",
    "django_htmx.middleware.HtmxMiddleware",
    "config.conflicts.ConflictErrors",
    "events.middleware.StoreErrors",
    # After it, so asked before it.
    "events.middleware.StoreGoneErrors",
]
# No other site's scripts may use the API, unless it is named.
CORS_ALLOWED_ORIGINS = words("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
# What clients of the API and of the tus protocol send and read.
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "idempotency-key", "range"),
    *("if-match", "if-modified-since", "if-none-match", "if-range"),
    *("tus-resumable", "upload-checksum", "upload-length", "upload-metadata"),
    *("upload-offset", "x-http-method-override", "x-requested-with"),
]
CORS_EXPOSE_HEADERS = [
    *("accept-ranges", "content-disposition", "content-range", "retry-after"),
    *("etag", "job-id", "location", "object-id", "tus-extension", "tus-max-size"),
    *("tus-resumable", "tus-version", "upload-expires", "upload-length"),
    *("upload-metadata", "upload-offset"),
]
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", BASE_DIR / "db.sqlite3"),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    },
}
if url := secret("DATABASE_URL"):
    # A connection is kept: to make one takes longer than most requests.
    kept = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    DATABASES = {"default": kept | environ.Env.db_url_config(url)}
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        DATABASES["default"]["ENGINE"] = "config.postgresql"
# What hosts and processes share: counts of attempts. In a process's memory, without.
if url := secret("CACHE_URL"):
    CACHES = {"default": environ.Env.cache_url_config(url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "accounts.logins.PasswordBackend",
    "accounts.logins.AdministratorBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = LOGOUT_REDIRECT_URL = "sign_in"
LOGIN_REDIRECT_URL = "pages:files"
# Nobody is not a user here; `objects.access` refuses the anonymous by itself.
ANONYMOUS_USER_NAME = None

# Tokens are signed by a key of their own, so that it can be renewed by itself.
TOKEN_SIGNING_KEY = secret("TOKEN_SIGNING_KEY")
if not TOKEN_SIGNING_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("Set TOKEN_SIGNING_KEY, 32 random bytes or more.")
    TOKEN_SIGNING_KEY = hashlib.sha256(f"tokens:{SECRET_KEY}".encode()).hexdigest()
if len(TOKEN_SIGNING_KEY.encode()) < 32:
    raise ImproperlyConfigured("TOKEN_SIGNING_KEY must have 32 bytes or more.")
SIMPLE_JWT = {
    "SIGNING_KEY": TOKEN_SIGNING_KEY,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.tokens.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "api.paging.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "api.filters.Filters",
        "api.filters.NormalSearch",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.JSONParser"],
    # What is wanted is said by Accept alone.
    "URL_FORMAT_OVERRIDE": None,
    # What there is to know is in the schema.
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "api.problems.handle",
    "NUM_PROXIES": PROXIES,
    "DEFAULT_THROTTLE_CLASSES": [
        "api.throttles.UserThrottle",
        "api.throttles.TenantThrottle",
        "api.throttles.AnonymousThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "user": rate("THROTTLE_USER", "6000/minute"),
        "tenant": rate("THROTTLE_TENANT", "30000/minute"),
        "anonymous": rate("THROTTLE_ANONYMOUS", "120/minute"),
    },
}
SPECTACULAR_SETTINGS = {
    "TITLE": "A managed object store",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.add_problems",
    ],
    "ENUM_NAME_OVERRIDES": {"ShareLinkState": "sharing.models.STATES"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
# Mail goes to the console unless the environment names a server.
mail_server = secret("EMAIL_URL")
vars().update(environ.Env.email_url_config(mail_server or "consolemail://"))
EMAIL_TIMEOUT = 30  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("MAIL_FROM", "webmaster@localhost")
MAIL_IS_SENT = bool(mail_server)
# Where links of mails lead: this site as the request has it, unless it is named; and a
# page of one's own that sets passwords, with {uid} and {token} in its address.
SITE_URL = os.environ.get("SITE_URL", "")
PASSWORD_PAGE_URL = os.environ.get("PASSWORD_PAGE_URL", "")
LANGUAGE_CODE = "en-gb"
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_TZ = True

# Uploaded files are in the store that the environment names, else in a folder, which
# must be named too where DEBUG is off. Style sheets and scripts are in that of
# STATIC_STORAGE_URL; else WhiteNoise serves them from here, as `collectstatic` left
# them or, with no STATIC_ROOT, from the apps.
MEDIA_ROOT = Path(os.environ.get("MEDIA_ROOT") or BASE_DIR / "media").absolute()
STATIC_URL = "static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT") or None
if STATIC_ROOT is not None:
    STATIC_ROOT = str(BASE_DIR / STATIC_ROOT)
folder = MEDIA_ROOT.as_uri() if DEBUG or os.environ.get("MEDIA_ROOT") else None
STORAGES = env.storages(default=folder)
for made in STORAGES.values():
    if made["BACKEND"].endswith(".S3Storage"):
        # S3 compares what arrives with the SHA-256 that is sent along.
        parameters = made["OPTIONS"].setdefault("object_parameters", {})
        parameters.setdefault("ChecksumAlgorithm", "SHA256")
        # While two parts of a file are sent the next is read: 24 MiB of memory.
        made["OPTIONS"].setdefault("parts_in_memory", 2)
# In a bucket static files have names that follow from their content: a release that
# still runs finds its own, and only what is not there yet is sent. Which names those
# are stands in a list, which a release that is called something has for itself.
RELEASE = os.environ.get("RELEASE", "")
if not re.fullmatch(r"[\w.-]{0,100}", RELEASE, re.ASCII):
    raise ImproperlyConfigured("RELEASE may have letters, digits, and . _ - in it.")
for store in ("s3.S3", "gcs.GCS"):
    backend = f"tahoestorage.backends.{store}StaticStorage"
    if STORAGES["staticfiles"]["BACKEND"] == backend:
        hashed = backend.replace("StaticStorage", "ManifestStaticStorage")
        STORAGES["staticfiles"]["BACKEND"] = hashed
        if RELEASE:
            made = STORAGES["staticfiles"]["OPTIONS"]
            made["manifest_name"] = f"staticfiles-{RELEASE}.json"
# Without a store of their own, WhiteNoise serves the static files.
if not (
    os.environ.get("STATIC_STORAGE_URL") or os.environ.get("STATIC_STORAGE_URL_FILE")
):
    MIDDLEWARE.insert(2, "whitenoise.middleware.WhiteNoiseMiddleware")
    if STATIC_ROOT is not None:
        hashed = "whitenoise.storage.CompressedManifestStaticFilesStorage"
        STORAGES["staticfiles"] = {"BACKEND": hashed}
    WHITENOISE_USE_FINDERS = STATIC_ROOT is None
# `manage.py tahoe_create_root` finds its gateway here.
TAHOE_STORAGE_BASE_URL = os.environ.get("TAHOE_STORAGE_BASE_URL")
TAHOE_STORAGE_BASE_CAP = os.environ.get("TAHOE_STORAGE_BASE_CAP")
TAHOE_STORAGE_BASE_CAP_FILE = os.environ.get("TAHOE_STORAGE_BASE_CAP_FILE")
# Whether photos, and a second link to slides, lead past this site.
PUBLIC_LINKS = flag("PUBLIC_LINKS") or bool(os.environ.get("TAHOE_PUBLIC_BASE_URL"))
# What pages may load, and nothing else; `pages.policy` adds where static files are. On
# a grid that is the proxy of public downloads; each bucket has a host of its own.
SHOWN = ["'self'"]
for alias, made in STORAGES.items() if PUBLIC_LINKS else ():
    if alias != "staticfiles":
        public = str(made.get("OPTIONS", {}).get("public_base_url") or "")
        on_grid = made["BACKEND"].endswith(".TahoeStorage")
        shown = "/".join(public.split("/")[:3]) if on_grid else "https:"
        if shown and shown not in SHOWN:
            SHOWN.append(shown)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": SHOWN,
        "media-src": SHOWN,
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    },
}
# A path of this site by which nginx, before it, carries downloads from a grid.
TAHOE_ACCEL_REDIRECT = os.environ.get("TAHOE_ACCEL_REDIRECT") or None
# By which Prometheus reads /metrics; without one there is none, and nothing is counted.
TAHOE_METRICS_TOKEN = secret("TAHOE_METRICS_TOKEN") or None
UPLOAD_LIMIT = number_or_none("UPLOAD_LIMIT", least=1, most=MOST)  # bytes; None: any
# An upload in parts: how long they are, but on S3, and for how long after the
# last part somebody may go on.
UPLOAD_PART_BYTES = number("UPLOAD_PART_BYTES", 64 << 20, least=1, most=MOST)
UPLOAD_LIFETIME = timedelta(hours=number("UPLOAD_HOURS", 24, least=1, most=100_000))
# What a store that tells no digest holds of more bytes is seen by samples; None: never.
READ_BACK_BYTES = number_or_all("READ_BACK_BYTES", 64 << 20, least=0, most=MOST)
# A sender of fewer bytes a second, for so many seconds, is cut off.
UPLOAD_MIN_RATE = 1 << 10
UPLOAD_PATIENCE = number("UPLOAD_PATIENCE", 60, least=1, most=100_000)
# A picture of more is not unpacked, and a WebP of a third: 8 bytes of memory each.
PICTURE_MAX_PIXELS = number("PICTURE_MAX_PIXELS", 50_000_000, least=1, most=MOST)

# What is slow is done outside of requests, by `manage.py jobs_worker`; or by Celery's
# workers where a broker is named. A job is begun so often until it counts as failed.
JOBS_ATTEMPTS = number("JOBS_ATTEMPTS", 5, least=1, most=10_000)
JOBS_KEEP_DAYS = number("JOBS_KEEP_DAYS", 30, least=1, most=100 * 365)
CELERY_BROKER_URL = secret("CELERY_BROKER_URL")
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A killed worker's message comes back after that. It may come while the work goes
    # on, too: then it finds the job taken.
    "visibility_timeout": 60,
    # Workers look for such messages each second, not once in a thousand seconds.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    # A broker may disappear without a word.
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # It comes back some time.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # Without a file: rows say what is due.
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "jobs.sweep", "schedule": 15.0, "options": {"expires": 15}},
}

# Exports: the store's alias, unless a tenant chose another of those that it may; the
# name there; and how long they stay, but for the latest of each event.
EXPORT_STORAGE = os.environ.get("EXPORT_STORAGE", "")
EXPORT_STORES = words("EXPORT_STORES")  # none: all
EXPORT_PATH = os.environ.get("EXPORT_PATH") or "exports/{event}/{run}.zip"
EXPORT_KEEP_DAYS = number("EXPORT_KEEP_DAYS", 30, least=0, most=100 * 365)
EXPORT_KEEP_LATEST = number("EXPORT_KEEP_LATEST", 1, least=0, most=10_000)

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"timed": {"format": "{asctime} {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "level": "INFO"},
        # For the status page.
        "failures": {"class": "pages.failures.NoteFailures", "level": "WARNING"},
    },
    "root": {"handlers": ["console", "failures"], "level": "INFO"},
    # They tell at INFO where they found their keys, each time.
    "loggers": {name: {"level": "WARNING"} for name in ("boto3", "botocore")},
}
if requests_log := os.environ.get("REQUESTS_LOG"):
    LOGGING["handlers"]["requests"] = {
        "class": "logging.FileHandler",
        "filename": requests_log,
        "formatter": "timed",
    }
    LOGGING["loggers"]["tahoestorage.gateway"] = {
        "level": "DEBUG",
        "handlers": ["requests"],
    }
