"""One file per kind of experiment. The file is the tool, the command, the record and the page about it."""
