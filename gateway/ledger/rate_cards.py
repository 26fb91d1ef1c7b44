"""Rate cards as they are kept: what was in effect once is never written over (T15.4)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.rate_card import RateCard, RateCardsInvalid
from gateway.domain.customer import Fault
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.upserts import insert_new


@dataclass(frozen=True, slots=True)
class KeptCard:
    """A rate card, and who gave it when."""

    card: RateCard
    by: str
    at_ms: int


class RateCards:
    """Keeps rate cards. Gateways and people write them; the process that writes figures does not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self) -> list[KeptCard]:
        """All cards, in the order of ids and first days. Raises LedgerUnavailable."""
        async with self._database.reading() as connection:
            return await _kept(connection)

    async def apply(self, cards: Sequence[RateCard], by: str, now_ms: int) -> list[bool]:
        """Keeps cards, all or none; for each of them whether it is new. One that is kept already, with the same content, stays as it is.

        Raises:
            RateCardsInvalid: another card of an id begins on the same day, or the currency is another one than before.
            LedgerUnavailable: nothing was kept, as far as anybody knows.
        """
        async with self._database.writing() as connection:
            before = {_key(kept.card) for kept in await _kept(connection)}
            await insert_new(connection, schema.rate_cards, [_row(card, by, now_ms) for card in cards])
            # Read after they were written: somebody else may have kept a card in between.
            there = await read_cards(connection)
            if faults := _faults(cards, there):
                raise RateCardsInvalid(faults)
        return [_key(card) not in before for card in cards]


async def read_cards(connection: AsyncConnection) -> list[RateCard]:
    """All cards."""
    return [kept.card for kept in await _kept(connection)]


def card_document(card: RateCard) -> dict[str, Any]:
    """A card as plain data; amounts are strings that say all their digits."""
    document: dict[str, Any] = card.model_dump(mode="json", exclude={"rates"})
    rates = [
        {
            **rate.model_dump(mode="json"),
            "per_minute": format(rate.per_minute, "f"),
            "per_leg": format(rate.per_leg, "f"),
        }
        for rate in card.rates
    ]
    return {**document, "rates": rates}


async def _kept(connection: AsyncConnection) -> list[KeptCard]:
    table = schema.rate_cards
    rows = await connection.execute(select(table).order_by(table.c.id, table.c.effective_from))
    return [KeptCard(RateCard.model_validate(json.loads(row.document)), row.by, row.at_ms) for row in rows]


def _key(card: RateCard) -> tuple[str, date]:
    return card.id, card.effective_from


def _row(card: RateCard, by: str, now_ms: int) -> dict[str, Any]:
    return {
        "id": card.id,
        "effective_from": card.effective_from.toordinal(),
        "document": json.dumps(card_document(card)),
        "by": by,
        "at_ms": now_ms,
    }


def _faults(cards: Sequence[RateCard], there: Sequence[RateCard]) -> list[Fault]:
    """What contradicts the cards that are kept."""
    kept = {_key(card): card for card in there}
    currencies: dict[str, set[str]] = {}
    for card in there:
        currencies.setdefault(card.id, set()).add(card.currency)
    faults: list[Fault] = []
    for place, card in enumerate(cards):
        if kept[_key(card)] != card:
            message = f"{card.id} is kept with other rates from {card.effective_from} on, and is not changed: give a later day"
            faults.append(Fault(f"$.rate_cards[{place}].effective_from", message, "T15.4"))
        elif others := sorted(currencies[card.id] - {card.currency}):
            message = f"is {card.currency}, while {card.id} is kept in {others[0]}"
            faults.append(Fault(f"$.rate_cards[{place}].currency", message, "T15.4"))
    return faults
