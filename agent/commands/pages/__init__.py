"""How runs, experiments, notes and hypotheses look in a terminal."""
