"""Django storage backends."""
