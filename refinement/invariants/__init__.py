"""The representation invariant of the monitor, one clause per file section, executable and symbolic from one text."""
