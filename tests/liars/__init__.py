"""Writers with a wish: studies by people who would have a report say what is not so, and readers of its first screen."""
