"""Giving a store back what it remembered of customers and has lost, as a ledger knows it: marks and ages. Registers: `Liveness`."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.kernel.outcomes import Age, Mark
from gateway.kernel.runner import Runner


FIELDS_AT_ONCE = 200
"""Marks or ages in one script: under a millisecond of the store, so that decisions do not wait."""


class Reminders:
    """Runs on the connection for what is urgent. `timeout_s` bounds each script."""

    def __init__(self, runner: Runner, *, timeout_s: float = 2.0) -> None:
        self._runner = runner
        self._timeout_s = timeout_s

    async def remind(self, customer: str, marks: Mapping[str, Sequence[Mark]], ages: Sequence[Age]) -> int:
        """Marks by set, and ages, as they are remembered; how many fields of the store changed.

        Each becomes the greatest of what is stored and what is told, so that this may be repeated, and done in any order. Nothing happens to a
        customer that is not installed. Raises StoreError.
        """
        rows = [(f"{of}\x1f{mark.member}", mark.made_ms, mark.connected_ms or 0) for of in marks for mark in marks[of]]
        raised = 0
        for at in range(0, len(rows), FIELDS_AT_ONCE):
            raised += await self._run(customer, rows[at : at + FIELDS_AT_ONCE], ())
        for at in range(0, len(ages), FIELDS_AT_ONCE):
            raised += await self._run(customer, (), ages[at : at + FIELDS_AT_ONCE])
        return raised

    async def _run(self, customer: str, marks: Sequence[tuple[str, int, int]], ages: Sequence[Age]) -> int:
        args: list[Any] = [customer, self._runner.bounds.cut_at, len(marks)]
        for row in marks:
            args += row
        for age in ages:
            args += (
                age.group, age.first_ms, age.since_ms or 0, age.summed_ms, age.peak, age.peak_at_ms, age.joined, age.licensed_by,
            )  # fmt: skip
        answer = await self._runner.of_customer("remind", customer, args, self._timeout_s)
        return int(answer[3])
