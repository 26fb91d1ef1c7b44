"""What can go wrong between the gateway and its store.

    StoreError
    ├── StoreUnavailable    nothing was executed: not connected, too many calls under way, or refused before execution
    └── OutcomeUnknown      sent, and not known whether executed: no answer in time, connection lost, a script that failed

Retrying is safe in both cases, because every operation is idempotent on ids that the caller supplies.
"""


class StoreError(Exception):
    """The store gave no answer that can be used."""


class StoreUnavailable(StoreError):
    """The store did not execute the operation."""


class OutcomeUnknown(StoreError):
    """The operation may or may not have been executed."""


NOT_EXECUTED = frozenset({
    "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN",
})  # fmt: skip
"""Error codes with which Redis refuses before a script begins."""


def reply_error(message: str) -> StoreError:
    """The error that an error reply of Redis means."""
    code = message.partition(" ")[0]
    return StoreUnavailable(message) if code in NOT_EXECUTED else OutcomeUnknown(message)
