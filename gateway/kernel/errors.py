"""What can go wrong between the gateway and its store.

    StoreError
    ├── StoreUnavailable    nothing was executed: not connected, too many calls under way, or refused before execution
    │   └── StoreRecovering the store answers, but has lost something: no limit can be judged yet
    └── OutcomeUnknown      sent, and not known whether executed: no answer in time, connection lost, a script that failed

Retrying is safe in both cases, because every operation is idempotent on ids that the caller supplies.
"""

import re


class StoreError(Exception):
    """The store gave no answer that can be used."""


class StoreUnavailable(StoreError):
    """The store did not execute the operation."""


class StoreRecovering(StoreUnavailable):
    """The store has lost something that nodes are bringing back; it can count, but not judge."""


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
