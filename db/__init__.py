"""The tracker: one SQLite file that holds everything that was tried, and what came out."""
