"""The one way in which an experiment is run, logged, found again and verified."""
