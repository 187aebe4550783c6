"""The specification: what an enclave monitor must do and what must hold of it.

`model.language` is how a specification is written and read; `model.hyperenclave` is the specification.
"""
