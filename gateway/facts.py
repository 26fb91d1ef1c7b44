"""Facts of live meetings as this gateway last heard of them: a guess that saves a round trip, never a truth.

Claims are compiled for facts, and the kernel refuses claims for others and says which hold. Most legs name the facts that hold, and need no
memory; a gateway remembers those that it was told of because a leg left them out, so that the next such leg is compiled right at once.
"""

from collections import OrderedDict

from gateway.domain.claims import Facts


MEETINGS_MAX = 50_000
"""About 300 bytes each; the meeting that was joined longest ago gives way."""


class FactsHeard:
    """The last facts heard of each meeting, bounded."""

    def __init__(self) -> None:
        self._facts: OrderedDict[tuple[str, str], Facts] = OrderedDict()

    def get(self, customer: str, group: str) -> Facts | None:
        """What was heard last; None: nothing, or that the meeting is not live."""
        return self._facts.get((customer, group))

    def put(self, customer: str, group: str, facts: Facts | None) -> None:
        """Remembers what was heard."""
        if facts is None:
            self._facts.pop((customer, group), None)
            return
        self._facts[customer, group] = facts
        self._facts.move_to_end((customer, group))
        if len(self._facts) > MEETINGS_MAX:
            self._facts.popitem(last=False)
