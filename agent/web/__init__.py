"""The tracker in a browser: Datasette with pages of our own, on this machine alone, and only for reading."""
