"""The front door: command line, configuration and wiring."""
