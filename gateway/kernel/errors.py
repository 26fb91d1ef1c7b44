"""What can go wrong between the gateway and its store.

    StoreError
    ├── StoreUnavailable    nothing was executed: not connected, too many calls under way, or refused before execution
    │   └── StoreUndecided  the store answers, counts and gives back, but decides nothing new at this time
    │       ├── StoreRecovering it has lost something: no limit can be judged yet
    │       └── OutboxFull      the ledger is too far behind: what would be decided could not be kept for it
    └── OutcomeUnknown      sent, and not known whether executed: no answer in time, connection lost, a script that failed

Retrying is safe in both cases, because every operation is idempotent on ids that the caller supplies.
"""

import re


class StoreError(Exception):
    """The store gave no answer that can be used."""


class StoreUnavailable(StoreError):
    """The store did not execute the operation."""


class StoreUndecided(StoreUnavailable):
    """The store answers, counts and gives back, but decides nothing new at this time; to ask again at once is of no use."""


class StoreRecovering(StoreUndecided):
    """The store has lost something that nodes are bringing back; it can count, but not judge."""


class OutboxFull(StoreUndecided):
    """The ledger is so far behind that nothing new is admitted: what is not kept for it could not be billed or explained."""


class OutcomeUnknown(StoreError):
    """The operation may or may not have been executed."""


NOT_EXECUTED = frozenset({
    "ASK", "BUSY", "CLUSTERDOWN", "CROSSSLOT", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM", "NOREPLICAS",
    "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN",
})  # fmt: skip
"""Error codes with which Redis refuses before a command, or a script that begins with `#!lua`, is begun."""

_WITHIN_SCRIPT = re.compile(r" script: [0-9a-f]{40}, on @")
"""How Redis 7 and 8 end an error that a script which had begun ran into; what the script wrote before stays written."""


def reply_error(message: str) -> StoreError:
    """The error that an error reply of Redis means."""
    if message.partition(" ")[0] in NOT_EXECUTED and not _WITHIN_SCRIPT.search(message):
        return StoreUnavailable(message)
    return OutcomeUnknown(message)
