"""Obligations from a specification, solvers, verdicts, ledger and scheduling; nothing here knows an enclave."""
