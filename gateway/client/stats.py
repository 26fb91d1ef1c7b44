"""What a client has done so far, for the metrics of whoever runs it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counters that only grow, from the making of the client on. To be read; the client writes them."""

    attempts: int = 0
    """Requests sent, or tried to be sent."""

    retries: int = 0
    """Attempts after the first one of a call."""

    away: int = 0
    """Calls that no gateway answered within their deadline."""

    compensations: int = 0
    """Releases sent because an admit was answered as a refusal while a gateway may have taken a seat."""

    releases_queued: int = 0
    """Releases that were left to the background."""

    releases_dropped: int = 0
    """Releases given up: too many waited, the client was closed, or the gateway refused the request."""

    beats: int = 0
    """Whole heartbeats that were answered."""

    beats_failed: int = 0
    """Heartbeats of which at least one page was not answered."""

    adopted: int = 0
    """Legs that the gateway did not know and counts again since their confirm."""

    confirms_failed: int = 0
    """Confirms of unknown legs that failed; the next heartbeat brings those legs up again."""

    drops: int = 0
    """Legs handed to `on_drop`."""

    callbacks_failed: int = 0
    """Calls of `on_drop` that raised or took too long."""

    background_dropped: int = 0
    """Confirms and drops that were not begun or not ended: too many waited (the next heartbeat brings them up), or the beats ended."""

    ids_skipped: int = 0
    """Ids left out of heartbeats because no gateway takes such an id: one of them would have a whole page refused."""
