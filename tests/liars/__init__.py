"""Writers with a wish: studies that would say what is not so, and readers of its first screen."""
