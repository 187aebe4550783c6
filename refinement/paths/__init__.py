"""Every path of the refinement proof, run on integers: a solver's model of it, taken by the real monitor."""
