"""`gateway doctor` looks at the ledger: whether it can be read, how far it is, and whether the store is its own."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from gateway.kernel.store import Store
    from gateway.ledger.database import Database
    from gateway.ledger.status import LedgerStatus
    from gateway.settings import Settings

LAG_MAX_S = 60.0
"""More than that is far behind, as the documentation says of alerts."""

Finding = tuple[str, str, str]
"""What was looked at, `ok`, `warn` or `fail`, and what was found."""


def look(settings: "Settings", store_ledgers: frozenset[str]) -> list[Finding]:
    """What is found of the ledger of these settings; `store_ledgers` are the ids of those that read the store, as far as it was asked."""
    url = settings.ledger
    if url is None:
        return [("ledger", "warn", "none: figures are the registers of the store, which count seats held")]
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        if not path.exists():
            return [_to_be_made(path), *_owners("", store_ledgers)]
    return asyncio.run(_look(url, store_ledgers, is_shared=settings.redis_url is not None))


async def ledgers_of(store: "Store") -> frozenset[str]:
    """The ids of the ledgers that read the outboxes of a store. Raises StoreError."""
    from gateway.kernel.keys import BUCKETS, bucket_key  # noqa: PLC0415 - keeps `gateway --help` fast

    found = await asyncio.gather(
        *[store.command("HGET", bucket_key("meta", bucket), "ledger") for bucket in range(BUCKETS)]
    )
    return frozenset({each.decode() for each in found if each})


async def _look(url: "URL", store_ledgers: frozenset[str], *, is_shared: bool) -> list[Finding]:
    from gateway.clock import now_ms  # noqa: PLC0415
    from gateway.ledger.database import Database, LedgerOlder, LedgerUnavailable  # noqa: PLC0415
    from gateway.ledger.lease import writer_at  # noqa: PLC0415
    from gateway.ledger.status import read_status  # noqa: PLC0415

    try:
        database = await Database.open(url)
    except LedgerOlder as error:
        return [("ledger", "warn", str(error)), *_owners("", store_ledgers)]
    except LedgerUnavailable as error:
        return [("ledger", "fail", str(error))]
    try:
        asked_ms, status = now_ms(), await read_status(database)
        writer = await writer_at(database, asked_ms)
    except LedgerUnavailable as error:
        return [("ledger", "fail", str(error))]
    finally:
        await database.close()
    return [
        _place(database, is_shared=is_shared),
        *_progress(status, writer, asked_ms),
        *_owners(status.id, store_ledgers),
    ]


def _to_be_made(path: Path) -> Finding:
    nearest = next(each for each in path.resolve().parents if each.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return "ledger", "fail", f"{path} cannot be made: {nearest} cannot be written"
    return "ledger", "ok", f"{path} will be made by the first gateway"


def _place(database: "Database", *, is_shared: bool) -> Finding:
    if database.kind == "sqlite" and is_shared:
        return "ledger", "warn", f"{database.shown}; a file is for one host: for more, PostgreSQL, the same for all"
    return "ledger", "ok", f"{database.shown}; its schema is the newest"


def _progress(status: "LedgerStatus", writer: str | None, asked_ms: int) -> Iterator[Finding]:
    lag_s = status.lag_s(asked_ms)
    if writer is None:
        yield "ledger writer", "warn", "nobody writes it now; `gateway serve` and `gateway ledger run` do"
    else:
        far = not status.read_ms or lag_s > LAG_MAX_S
        behind = f"{lag_s:.0f} s behind" if status.read_ms else "nothing was read yet"
        yield "ledger writer", "warn" if far else "ok", f"{writer}, {behind}"
    doubtful = {"gaps": status.gaps, "doubts": status.doubts, "findings": status.findings}
    told = ", ".join([f"{count} {name}" for name, count in doubtful.items() if count])
    yield "ledger doubts", "warn" if told else "ok", f"{told}; see `gateway ledger status`" if told else "none"


def _owners(id_: str, store_ledgers: frozenset[str]) -> Iterator[Finding]:
    if not store_ledgers:
        return
    others = ", ".join(sorted(store_ledgers - {id_}))
    if not others:
        yield "ledger of the store", "ok", f"{id_}: this one"
    else:
        advice = "it would stop; end the other one and use `gateway ledger run --take-over`, or name its database"
        yield (
            "ledger of the store",
            "fail",
            f"the store is read by {others}, and this is {id_ or 'not begun'}: {advice}",
        )
