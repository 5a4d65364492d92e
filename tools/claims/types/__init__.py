"""One file a type of claim, under its name."""
