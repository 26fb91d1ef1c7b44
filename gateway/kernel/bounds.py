"""How much of what happened the store keeps in its outboxes, and what gives way where the ledger is far behind."""

import enum

from gateway.kernel.keys import BUCKETS, bucket_of


UNREAD_MAX = 20_000
"""Entries kept per bucket where nothing reads them: some minutes of a busy provider, and at most about 200 MB over all buckets."""

CUT_FACTOR = 4
"""Where a ledger reads, nothing unread is cut below so many times `outbox_max`. Past it the store would be full of it before long."""

TALLIED_FROM = 0.5
"""Part of `outbox_max` from which on denials are only tallied."""

EASED = 0.9
"""Pressure goes when there is less than this part of what has brought it, so that it does not come and go with each entry."""


class Pressure(enum.IntEnum):
    """What gives way in a bucket. Passed to the scripts as a number."""

    NONE = 0
    DENIALS_TALLIED = 1
    """Denials are only tallied: they have no entry in the outbox."""
    ADMITS_REFUSED = 2
    """Nothing new is admitted: `store_failure` decides, as without the store."""


class Bounds:
    """Bounds of the outboxes. `outbox_max`: entries per bucket that may wait for a ledger; None: there is none.

    Without a ledger the oldest entries go, and they do not carry the documents of entitlements, which may be large.
    """

    def __init__(self, outbox_max: int | None = None) -> None:
        self.is_read = outbox_max is not None
        self._outbox_max = outbox_max or 0
        self.cut_at = UNREAD_MAX if outbox_max is None else CUT_FACTOR * outbox_max
        """Entries above which scripts cut the oldest off."""
        self._pressures = [Pressure.NONE] * BUCKETS

    def pressure(self, bucket: int) -> Pressure:
        """What gives way in a bucket, as last seen."""
        return self._pressures[bucket]

    def of(self, customer: str) -> tuple[int, int]:
        """Arguments of a decision: the cut, and the pressure."""
        return self.cut_at, int(self._pressures[bucket_of(customer)])

    def see(self, bucket: int, entries: int) -> Pressure:
        """An outbox was that long; what gives way from now on."""
        if self.is_read:
            self._pressures[bucket] = self._pressure(self._pressures[bucket], entries)
        return self._pressures[bucket]

    def _pressure(self, before: Pressure, entries: int) -> Pressure:
        for pressure, part in ((Pressure.ADMITS_REFUSED, 1.0), (Pressure.DENIALS_TALLIED, TALLIED_FROM)):
            bound = part * self._outbox_max
            if entries >= (EASED * bound if before >= pressure else bound):
                return pressure
        return Pressure.NONE
