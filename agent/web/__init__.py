"""The tracker in a web browser: Datasette with Lashley's own pages, read-only, on this machine only."""
