"""PostgreSQL by connections that are kept, and a password that may change meanwhile."""
