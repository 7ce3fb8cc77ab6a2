"""What is known of the store, kept in memory and sealed on disk. No Django here."""
