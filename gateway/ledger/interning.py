"""Names and shapes by number, so that a leg is a short row, and a person's name stands in one place."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import now_ms
from gateway.domain.addresses import normal_address
from gateway.domain.person import PSEUDONYM, as_pseudonym
from gateway.ledger import schema
from gateway.ledger.facts import FORGETTINGS, fact
from gateway.ledger.upserts import insert_new, listed


KNOWN_MAX = 500_000
"""Names held in memory; all of them are forgotten when there are more."""

PERSON, MEETING, NODE, TELEPHONE = "person", "meeting", "node", "telephone"

Name = tuple[str, str, str]
"""Customer, kind, name."""


def pseudonym(key: bytes, kind: str, name: str) -> str:
    """What stands for a name: the same for the same name as long as the customer's key is there; addresses as they compare."""
    if PSEUDONYM.fullmatch(name):  # a leg that goes on while its name is forgotten
        return name
    compared = normal_address(name) if kind == PERSON else name
    return as_pseudonym(hmac.digest(key, f"{kind}\x1f{compared}".encode(), hashlib.sha256))


async def key_of(connection: AsyncConnection, customer: str) -> bytes:
    """The key of a customer's pseudonyms; made where there is none, or none any more."""
    table = schema.pseudonym_keys
    found = (await connection.execute(select(table.c.key).where(table.c.customer == customer))).scalar_one_or_none()
    if found is not None:
        return bytes(found)
    key, made_ms = secrets.token_bytes(32), now_ms()
    gone = await connection.execute(
        table.update().where(table.c.customer == customer).values(key=key, made_ms=made_ms, destroyed_ms=None)
    )
    if not gone.rowcount:
        await insert_new(connection, table, [{"customer": customer, "key": key, "made_ms": made_ms}])
    return key


class Interned:
    """Numbers of names and shapes that were met; the database has them all."""

    def __init__(self) -> None:
        self._names: dict[Name, int] = {}
        self._shapes: dict[tuple[str, str], int] = {}
        self._keys: dict[str, bytes] = {}
        self._forgettings: str | None = None

    def clear(self) -> None:
        """Forgets what a transaction that failed may have made."""
        self._names.clear()
        self._shapes.clear()
        self._keys.clear()

    async def refresh(self, connection: AsyncConnection) -> None:
        """Forgets everything where a name was forgotten by somebody else since."""
        forgettings = await fact(connection, FORGETTINGS)
        if forgettings != self._forgettings or len(self._names) > KNOWN_MAX:
            self.clear()
            self._forgettings = forgettings

    async def names(self, connection: AsyncConnection, wanted: Iterable[Name]) -> Mapping[Name, int]:
        """The numbers of names; made where there are none."""
        missing = {name for name in wanted if name not in self._names}
        if missing:
            await self._find_names(connection, missing)
            new = sorted(missing - self._names.keys())
            if new:
                await connection.execute(
                    schema.names.insert(),
                    [
                        {
                            "customer": customer,
                            "kind": kind,
                            "name": name,
                            "pseudonym": pseudonym(await self._key(connection, customer), kind, name),
                        }
                        for customer, kind, name in new
                    ],
                )
                await self._find_names(connection, new)
        return self._names

    async def shapes(
        self, connection: AsyncConnection, wanted: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], int]:
        """The numbers of shapes, each a customer and a JSON text; made where there are none."""
        missing = sorted({shape for shape in wanted if shape not in self._shapes})
        if missing:
            table = schema.shapes
            await insert_new(connection, table, [{"customer": customer, "shape": shape} for customer, shape in missing])
            wanted_rows = listed(connection, missing, ("customer", "shape"))
            rows = await connection.execute(
                select(table.c.id, table.c.customer, table.c.shape).join(
                    wanted_rows, (table.c.customer == wanted_rows.c.customer) & (table.c.shape == wanted_rows.c.shape)
                )
            )
            self._shapes.update({(customer, shape): id_ for id_, customer, shape in rows})
        return self._shapes

    async def _key(self, connection: AsyncConnection, customer: str) -> bytes:
        if customer not in self._keys:
            self._keys[customer] = await key_of(connection, customer)
        return self._keys[customer]

    async def _find_names(self, connection: AsyncConnection, wanted: Iterable[Name]) -> None:
        table, rows = schema.names, listed(connection, wanted, ("customer", "kind", "name"))
        found = await connection.execute(
            select(table.c.id, table.c.customer, table.c.kind, table.c.name).join(
                rows,
                (table.c.customer == rows.c.customer) & (table.c.kind == rows.c.kind) & (table.c.name == rows.c.name),
            )
        )
        self._names.update({(customer, kind, name): id_ for id_, customer, kind, name in found})
