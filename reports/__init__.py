"""Projections of results: the closing table, JSON, JUnit."""
