"""Symbolic execution of the monitor: its own functions, run over all paths from any state that an invariant allows."""
