"""Relation between monitor and model, and the symbolic execution that proves it."""
