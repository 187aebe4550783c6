"""The executable reference monitor: a machine, and the monitor that runs on it."""
