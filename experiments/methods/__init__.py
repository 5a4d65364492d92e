"""The methods of single kinds of experiments or of a family of kinds, named after the kind or the method."""
