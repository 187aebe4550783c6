"""Units of work over the HyperEnclave specification: its theorems and the battery that shows they can fail."""
