"""Traces: what an operating system, enclaves and devices do, replayed step by step through monitor and model."""
