"""Where a fact stands in what happened."""

from typing import NamedTuple


Order = tuple[int, int]
"""An `EntryId` where there are very many: a plain tuple costs a third, and compares as well."""


class EntryId(NamedTuple):
    """An entry of a bucket's outbox: its epoch (ms) and its number in it. Of one bucket, a greater one happened later."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "EntryId":
        """From the form in which the store writes it. Raises ValueError."""
        epoch, _, number = text.partition("-")
        return cls(int(epoch), int(number))
