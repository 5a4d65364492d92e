"""One file per kind of experiment, from which its tool, command, record and page are made."""
