"""Reading the tracker: every method gives frozen records."""
