"""The autopilot: a fixed scientific protocol that chooses each experiment from the results of those before it."""
