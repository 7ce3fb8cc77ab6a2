"""A private grid for tests and for development."""
