"""Reading the tracker: every method returns frozen records."""
