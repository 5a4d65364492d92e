"""What one kind of experiment or one family of them measures with, under the name of the kind or the method."""
