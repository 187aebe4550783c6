"""T9h, what the walks of `refinement.simulation.walks` leave open: the normal VM's walk through volatile tables."""
