"""What can be done to a model, and how it is measured."""
