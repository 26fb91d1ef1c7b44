"""The pure core: joins, entitlements, plans, claims, days.

Nothing here performs I/O or reads a clock: time is an argument. Beside the standard library only pydantic (the shape of catalogues), PyYAML
and msgspec are used; values that every decision makes are msgspec structs, which cost a tenth of a frozen dataclass.
"""
