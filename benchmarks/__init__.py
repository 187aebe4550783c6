"""Measured figures; nothing here decides a verdict."""
