"""Django storage backends."""

# Whoever uses a storage without the app is told so by `manage.py check`.
from tahoestorage import installed as installed
