import os

import django
from django.core.files.storage import storages

from config.memory import keep_little
from config.requests import Handler, ReadableRequests
from config.senders import WatchedForms

keep_little()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)
application = WatchedForms(ReadableRequests(Handler()))
# What a store needs, boto3 for one, takes long to import: not within the first request
# to a worker.
storages["default"]
