"""What is read back from the ledger by number."""

from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.reading import KnownAs, names_by_id


BEYOND = 40_000
"""PostgreSQL takes 32,767 arguments with a statement, and a customer may have 100,000 hosts."""


async def test_names_are_found_however_many_are_asked_for(ledger_database: Database) -> None:
    """Of 40,000 numbers two are of names, one of them forgotten: both are found, on either database."""
    rows: list[dict[str, str | None]] = [
        {"customer": "acme", "kind": "person", "name": "a@acme.example", "pseudonym": "~1"},
        {"customer": "acme", "kind": "person", "name": None, "pseudonym": "~2"},
    ]
    async with ledger_database.writing() as connection:
        await connection.execute(schema.names.insert(), rows)
    async with ledger_database.reading() as connection:
        found = await names_by_id(connection, range(BEYOND))

    assert {KnownAs("a@acme.example", "~1"), KnownAs(None, "~2")} == set(found.values())
    assert {"a@acme.example", "~2"} == {known.shown for known in found.values()}
