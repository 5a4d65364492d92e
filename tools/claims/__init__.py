"""Claims: what a study says about a model, as data. The program finds and judges the evidence, and words the
finding."""
