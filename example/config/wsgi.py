import os

from django.core.wsgi import get_wsgi_application

from config.memory import give_large_blocks_back
from config.senders import WatchedForms

give_large_blocks_back()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = WatchedForms(get_wsgi_application())
