"""The tracker, the experiments and the models from Python: what `import lashley` gives."""
