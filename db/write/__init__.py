"""Writing the tracker: short transactions that also seal their rows."""
