"""What of ours works on which store, as it is found by trying it."""
