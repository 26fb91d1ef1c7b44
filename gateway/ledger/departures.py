"""Who has left for so long that nobody is to know any more who it was (T21.3): hosts that are in the catalogue no more, and customers."""

import asyncio

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.departure import over_ms
from gateway.domain.person import PSEUDONYM, Rewriting, everybody_by, hosts_of
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.erasure import count_forgetting, rewrite_versions
from gateway.ledger.interning import PERSON, key_of, pseudonym
from gateway.ledger.lease import Lease
from gateway.ledger.versions import DOCUMENTS_AT_ONCE, stored_versions
from gateway.stored_record import decode_record


class Standing(msgspec.Struct, frozen=True):
    """What the newest version says of how long it is kept who somebody was."""

    retention_days: int | None = None
    """None: metadata is kept as it is."""
    over_ms: int | None = None
    """Since when the customer is none any more, or from when on."""


def standing_of(document: bytes, at_ms: int) -> Standing:
    """From the newest version, which was installed at an instant."""
    record = decode_record(1, document)
    if record.customer is None:
        return Standing(over_ms=at_ms)
    over = over_ms(record)
    return Standing(record.customer.retention_days, at_ms if over is None else over)


async def forget_customer(database: Database, lease: Lease, customer: str, now_ms: int) -> int:
    """Nobody of the customer is known any more, nor can be found out by the key; how many transactions it took.

    Raises LedgerUnavailable, LeaseLost.
    """
    names, keys = schema.names, schema.pseudonym_keys
    async with database.writing() as connection:
        await lease.hold(connection)
        key = await key_of(connection, customer)
    changed = await rewrite_versions(
        database, customer, everybody_by(lambda address: pseudonym(key, PERSON, address)), hold=lease.hold
    )
    async with database.writing() as connection:
        await lease.hold(connection)
        await connection.execute(
            names.update().where(names.c.customer == customer, names.c.name.is_not(None)).values(name=None)
        )
        await connection.execute(keys.update().where(keys.c.customer == customer).values(key=None, destroyed_ms=now_ms))
        await count_forgetting(connection)
    return 2 + changed // DOCUMENTS_AT_ONCE


async def forget_hosts(database: Database, lease: Lease, customer: str, oldest: int) -> int:
    """Hosts that stand only in versions before `oldest`; how many transactions it took. Raises LedgerUnavailable, LeaseLost."""
    gone = await _gone(database, customer, oldest)
    if not gone:
        return 0
    async with database.writing() as connection:
        await lease.hold(connection)
        key = await key_of(connection, customer)
        known_as = {address: pseudonym(key, PERSON, address) for address in gone}
        names = schema.names
        own = (names.c.customer == customer) & (names.c.kind == PERSON) & names.c.name.is_not(None)
        ordered = sorted(known_as.values())
        for at in range(0, len(ordered), 1_000):
            some = names.c.pseudonym.in_(ordered[at : at + 1_000])
            await connection.execute(names.update().where(own, some).values(name=None))
        await count_forgetting(connection)

    def alias_of(address: str) -> str | None:
        return known_as.get(normal_address(address))

    how = Rewriting(alias_of=alias_of, who=alias_of)
    changed = await rewrite_versions(database, customer, how, below=oldest, hold=lease.hold)
    return 1 + changed // DOCUMENTS_AT_ONCE


async def _gone(database: Database, customer: str, oldest: int) -> set[str]:
    """Normal addresses that are in versions before `oldest`, and in none from it on."""
    before, since = set[str](), set[str]()
    async for page in stored_versions(database, customer):
        for each in page:
            (since if each.version >= oldest else before).update(await asyncio.to_thread(_hosts, each.document))
    return before - since


def _hosts(document: bytes) -> set[str]:
    found = hosts_of(msgspec.json.decode(document)) if document else ()
    return {normal_address(address) for address in found if not PSEUDONYM.fullmatch(address)}
