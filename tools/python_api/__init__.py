"""The tracker, the experiments and the models in Python, as `import lashley` provides them."""
