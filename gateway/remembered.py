"""What a gateway remembers, as rows of its file: values, and how they are written and read. Runs in the thread of the file."""

import itertools
import sqlite3
from dataclasses import dataclass
from typing import Self

import msgspec

from gateway.disk import transaction


DOCUMENTS_AT_ONCE = 200
"""Rows of one statement; sqlite takes at least 999 values."""
REGISTERS_AT_ONCE = 1_000
"""Rows of one statement: to make their text keeps the event loop waiting."""

Told = tuple[int, int]
"""Epoch of a bucket, and outbox number in it."""
Kept = tuple[int, int, bytes]
"""Bucket, version and document of a customer's entitlements."""
RegisterKey = tuple[str, int, int, str]
"""Customer, bucket, day, group."""


class SeenRegister(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Greatest use of a metered group in a day that this gateway saw, and the greatest above the commitment of its moment (T4.3)."""

    day: int
    group: str
    committed: int
    """As seen last."""
    peak: int
    peak_at_ms: int
    overage: int
    overage_at_ms: int

    def merged(self, later: Self) -> Self:
        """With what was seen later of the same group and day; a maximum that was only reached again keeps its time."""
        peak = later if later.peak > self.peak else self
        over = later if later.overage > self.overage else self
        return type(self)(
            self.day, self.group, later.committed, peak.peak, peak.peak_at_ms, over.overage, over.overage_at_ms
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes; registers of days before `forget_before` are dropped."""

    told: dict[int, Told]
    documents: dict[str, Kept]
    registers: dict[RegisterKey, SeenRegister]
    forget_before: int | None

    def __bool__(self) -> bool:
        return bool(self.told or self.documents or self.registers)


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Merges a batch into what is there; the greater of each stays. Documents that are replaced are overwritten: they name people (T21.4)."""
    connection.execute("PRAGMA secure_delete = ON")
    replaces = _replaces(connection, batch)
    with transaction(connection):
        if batch.told:
            connection.execute(WRITE_TOLD, (_text([[bucket, *told] for bucket, told in batch.told.items()]),))
        documents = [(customer, *kept) for customer, kept in batch.documents.items()]
        for at in range(0, len(documents), DOCUMENTS_AT_ONCE):
            some = documents[at : at + DOCUMENTS_AT_ONCE]
            places = ", ".join(["(?, ?, ?, ?)"] * len(some))
            connection.execute(WRITE_DOCUMENTS.format(rows=places), [value for row in some for value in row])
        registers = ((customer, bucket, row) for (customer, bucket, _, _), row in batch.registers.items())
        while rows := list(itertools.islice(registers, REGISTERS_AT_ONCE)):
            connection.execute(WRITE_REGISTERS, (_text(rows),))
        if batch.forget_before is not None:
            connection.execute("DELETE FROM registers WHERE day < ?", (batch.forget_before,))
    if replaces:  # else the log beside the file would keep them until it is long enough
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replaces(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Whether documents of the batch take the place of others."""
    if not batch.documents:
        return False
    known = "SELECT EXISTS (SELECT 1 FROM entitlements WHERE customer IN (SELECT value FROM json_each(?)))"
    return bool(connection.execute(known, (_text(list(batch.documents)),)).fetchone()[0])


def read_known(connection: sqlite3.Connection) -> tuple[dict[int, Told], dict[str, int]]:
    """What each bucket was told last, and the version that is kept of each customer."""
    told = connection.execute("SELECT bucket, epoch, number FROM told").fetchall()
    versions = connection.execute("SELECT customer, version FROM entitlements").fetchall()
    return {bucket: (epoch, number) for bucket, epoch, number in told}, dict(versions)


def read_entitlements(connection: sqlite3.Connection, customer: str) -> tuple[int, bytes] | None:
    """Version and document of a customer."""
    found: tuple[int, bytes] | None = connection.execute(
        "SELECT version, document FROM entitlements WHERE customer = ?", (customer,)
    ).fetchone()
    return found


def read_entitlements_of(connection: sqlite3.Connection, bucket: int) -> list[tuple[str, int, bytes]]:
    """Customer, version and document of all customers of a bucket."""
    return connection.execute(
        "SELECT customer, version, document FROM entitlements WHERE bucket = ?", (bucket,)
    ).fetchall()


def read_registers(connection: sqlite3.Connection, customer: str) -> list[SeenRegister]:
    """All registers of a customer."""
    found = connection.execute(READ_REGISTERS, (customer,)).fetchone()[0]
    return msgspec.json.decode(found, type=list[SeenRegister])


def read_customers(connection: sqlite3.Connection, bucket: int) -> list[str]:
    """Customers of a bucket of whom anything is remembered, by name."""
    found = connection.execute(READ_CUSTOMERS, (bucket, bucket)).fetchone()[0]
    return sorted(msgspec.json.decode(found, type=list[str]))


def _text(rows: object) -> str:
    return msgspec.json.encode(rows).decode()


WRITE_TOLD = """
INSERT INTO told (bucket, epoch, number)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?) WHERE true
ON CONFLICT (bucket) DO UPDATE SET epoch = excluded.epoch, number = excluded.number
WHERE (excluded.epoch, excluded.number) > (epoch, number)
"""
WRITE_DOCUMENTS = """
INSERT INTO entitlements (customer, bucket, version, document) VALUES {rows}
ON CONFLICT (customer) DO UPDATE SET bucket = excluded.bucket, version = excluded.version, document = excluded.document
WHERE excluded.version > version
"""
WRITE_REGISTERS = """
INSERT INTO registers (customer, bucket, day, name, committed, peak, peak_at_ms, overage, overage_at_ms)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2][0]'), json_extract(value, '$[2][1]'),
       json_extract(value, '$[2][2]'), json_extract(value, '$[2][3]'), json_extract(value, '$[2][4]'), json_extract(value, '$[2][5]'),
       json_extract(value, '$[2][6]')
FROM json_each(?) WHERE true
ON CONFLICT (customer, day, name) DO UPDATE SET
    committed = excluded.committed,
    peak = max(peak, excluded.peak),
    peak_at_ms = CASE WHEN excluded.peak > peak THEN excluded.peak_at_ms ELSE peak_at_ms END,
    overage = max(overage, excluded.overage),
    overage_at_ms = CASE WHEN excluded.overage > overage THEN excluded.overage_at_ms ELSE overage_at_ms END
"""
READ_REGISTERS = """
SELECT json_group_array(json_array(day, name, committed, peak, peak_at_ms, overage, overage_at_ms))
FROM registers WHERE customer = ?
"""
READ_CUSTOMERS = """
SELECT json_group_array(customer) FROM (
    SELECT customer FROM entitlements WHERE bucket = ? UNION SELECT customer FROM registers WHERE bucket = ?
)
"""
