"""Running logged experiments and runs again, and comparing what they measured."""
