"""A subject's answers: how they are scored and graded, how they fail, and whether the subject can do the task."""
