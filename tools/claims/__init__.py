"""Claims: what a study says of a model, as data. The program looks for evidence, judges it and words the finding."""
