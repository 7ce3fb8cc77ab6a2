"""An app with files, for tests of commands that look at the database."""
