"""A study: the loop that asks the driver and runs its calls; budget and conversation; resume, fork, review, replay."""
