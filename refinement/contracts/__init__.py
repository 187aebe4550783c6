"""Steps that are proved once, on real table words, and used by their contract wherever they are called."""
