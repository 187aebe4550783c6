"""The beginning of T9: what boot builds, how the monitor reads the normal VM's memory, what open functions are."""
