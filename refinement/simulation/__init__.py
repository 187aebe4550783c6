"""T9: every path of every handler does what a step of the model says, for the whole state."""
