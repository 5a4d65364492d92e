"""The loop, the drivers that answer it, and the command line."""
