"""The whole specification: importing this module declares every action, invariant, observer, permission, assumption."""

from model.hyperenclave import actions, assumptions, invariants, observers, policy, theorems, threads
from model.hyperenclave.state import HYPERENCLAVE

__all__ = ["HYPERENCLAVE", "actions", "assumptions", "invariants", "observers", "policy", "theorems", "threads"]
