"""The specification language: sorts, terms, specifications, and the interpreters that read one."""
