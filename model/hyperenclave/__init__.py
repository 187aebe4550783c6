"""The HyperEnclave specification: what the monitor's interface must do, and what must hold of it.

Reading order: `vocabulary`, `state`, `actions`, `invariants`, `observers`, `policy`, `theorems`, `assumptions`.
"""
