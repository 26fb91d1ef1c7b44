"""After an erasure: that the bytes are gone too, not only the rows.

SQLite overwrites what it deletes (`secure_delete`), but the log beside the file keeps older pages, and pages that were split may keep copies in
their gaps. So the log is written back and cut off, then the file is searched, and only where something is still found it is written anew, which
takes a while per gigabyte. PostgreSQL drops old rows by its own vacuum.
"""

import asyncio
import mmap
from collections.abc import Collection
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.ledger.database import Database, LedgerUnavailable


SECURE = "PRAGMA secure_delete = ON"
CUT_OFF = "PRAGMA wal_checkpoint(TRUNCATE)"
ATTEMPTS = 5
PAUSE_S = 0.2


async def scrub(database: Database, needles: Collection[str]) -> bool:
    """Whether none of these texts stands in the database's files any more. False: others read just now; ask again later.

    Raises LedgerUnavailable. True on PostgreSQL, whose files are not looked at.
    """
    if database.kind != "sqlite":
        return True
    path = Path(str(database.engine.url.database))
    wanted = sorted({needle.encode() for needle in needles})
    for _ in range(ATTEMPTS):
        if await _run(database, CUT_OFF):
            if not await asyncio.to_thread(found_in, path, wanted):
                return True
            await _run(database, "VACUUM")
        await asyncio.sleep(PAUSE_S)
    return False


def found_in(path: Path, needles: Collection[bytes]) -> bool:
    """Whether one of the needles stands in the file, or in the log beside it."""
    for each in (path, path.with_name(f"{path.name}-wal")):
        if each.exists() and each.stat().st_size:
            with each.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if any(content.find(needle) >= 0 for needle in needles):
                    return True
    return False


async def _run(database: Database, statement: str) -> bool:
    """Runs it outside of any transaction; whether nobody was in its way."""
    try:
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql(SECURE)
            done = await connection.exec_driver_sql(statement)
            row = done.first() if done.returns_rows else None
            return row is None or not row[0]
    except SQLAlchemyError as error:
        if "locked" in str(error):
            return False
        raise LedgerUnavailable(f"the ledger cannot be written anew: {type(error).__name__}") from None
