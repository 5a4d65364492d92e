"""Writing the tracker: short transactions, rows that are sealed as they are written."""
