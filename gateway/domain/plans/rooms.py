"""Licences for rooms: `rooms.dolby_raas` (T13) and `rooms.network_room` (T14).

- T13.1: a licence belongs to one room; there are at most `quantity` of them.
- T13.5: a Dolby room's licence has a territory, the countries in which its equipment may stand.

That a room is licensed once at a time (T13.1), and that a room licence needs a Meetings or Events subscription (T13.3), spans subscriptions and
is checked with the catalogue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.domain.addresses import normal_address
from gateway.domain.customer import CustomerBase, Fault, Identifier, Model, Positive, Subscription


ROOMS_MAX = 100_000

_TABLE = (files("tzdata.zoneinfo") / "iso3166.tab").read_text(encoding="utf-8")
COUNTRIES = frozenset([line[:2] for line in _TABLE.splitlines() if not line.startswith("#")])
"""ISO 3166-1 alpha-2 codes, as the time zone database lists them."""


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("is not an ISO 3166 country code of two capital letters")
    return code


Country = Annotated[str, AfterValidator(_country), WithJsonSchema({"type": "string", "enum": sorted(COUNTRIES)})]


class Room(Model):
    """A conference or meeting room that holds a licence."""

    id: Identifier


class DolbyRoom(Room):
    """A room with the provider's equipment."""

    territory: Annotated[tuple[Country, ...], Field(min_length=1, max_length=50)] = ("US",)
    """Countries in which the equipment may stand (T13.5)."""


class RoomSubscription(Subscription):
    """Licences for rooms, each assigned to one."""

    quantity: Positive
    rooms: Annotated[tuple[Room, ...], Field(max_length=ROOMS_MAX)] = ()

    def faults(self, customer: CustomerBase, path: str) -> Iterator[Fault]:
        """T13.1: no more rooms than licences."""
        if len(self.rooms) > self.quantity:
            yield Fault(f"{path}.rooms", f"{len(self.rooms)} rooms for a quantity of {self.quantity}", "T13.1")


class DolbyRooms(RoomSubscription):
    """`rooms.dolby_raas` (T13)."""

    plan: Literal["rooms.dolby_raas"]
    rooms: Annotated[tuple[DolbyRoom, ...], Field(max_length=ROOMS_MAX)] = ()


class NetworkRooms(RoomSubscription):
    """`rooms.network_room` (T14)."""

    plan: Literal["rooms.network_room"]


@dataclass(frozen=True, slots=True)
class RoomLicence:
    """The subscription that licenses a room, and the countries the room may be in; None: any (T13.5)."""

    subscription: str
    territory: frozenset[str] | None


def room_licences(active: Sequence[RoomSubscription]) -> dict[str, RoomLicence]:
    """Licensed rooms by the normal form of their ids (T13.1); `active` are the room subscriptions of both plans in force on the day."""
    return {normal_address(room.id): RoomLicence(held.id, _territory(room)) for held in active for room in held.rooms}


def _territory(room: Room) -> frozenset[str] | None:
    return frozenset(room.territory) if isinstance(room, DolbyRoom) else None
