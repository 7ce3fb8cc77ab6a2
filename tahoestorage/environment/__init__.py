"""What pickles of 0.2 look for; it is in ``tahoestorage.config`` now."""
