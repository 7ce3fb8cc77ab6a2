"""Where pickles of builds before 0.2.0 look; it is in ``tahoestorage.config`` now."""
