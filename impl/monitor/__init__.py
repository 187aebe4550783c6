"""The monitor: page tables, EPCM, calls, world switch.

Everything here is written so that the same text runs on integers and on symbolic values: exact non-negative integers,
explicit masks, constant loops, state only in fields of the storage, refusals before effects.
"""
