"""Moving the files of a site from one store to another."""
