"""The tracker: one SQLite file with every experiment and its results."""
