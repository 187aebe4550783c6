"""Audit of real machines: photographs of physical memory, the page tables in them, and a policy that decides."""
