"""The study loop, the drivers, and the command line."""
