"""A study: the loop that asks the driver and runs its calls, its budget, its conversation, and how it is resumed,
forked, reviewed and replayed."""
