"""The pure core: joins, entitlements, plans, claims, days.

Nothing here performs I/O or reads a clock: time is an argument. Only `pydantic` (the catalogue's shape) is used beside the standard library.
"""
