"""What a subject answers: how it is scored and graded, how it fails, and whether it can do the task at all."""
