import os

from django.core.files.storage import storages
from django.core.wsgi import get_wsgi_application

from config.memory import keep_little
from config.senders import WatchedForms

keep_little()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = WatchedForms(get_wsgi_application())
# What a store needs, boto3 for one, takes long to import: not within the first request
# to a worker.
storages["default"]
