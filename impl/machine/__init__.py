"""The machine: storage, memory layout, primitives, and the hardware that translates addresses."""
