"""Evidence: the numbers of an experiment, predictions about them, and what the intervals say."""
