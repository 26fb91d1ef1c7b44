"""What the gateway keeps with a leg: a description for replays, reports and the outbox, which the kernel does not look into."""

import msgspec

from gateway.domain.claims import Claims
from gateway.domain.join import Join, Telephone


class LegInfo(msgspec.Struct, array_like=True, frozen=True):
    """A leg as it was when it joined or was last moved. Stored as an array: fields are only ever added at the end."""

    service: str
    meeting: str
    endpoint: str
    role: str
    host: str | None = None
    person: str | None = None
    department: str | None = None
    licensed_by: str | None = None
    counted_in: tuple[str, ...] = ()
    room: str | None = None
    access: str | None = None
    audio_only: bool = False
    country: str | None = None
    calling: str | None = None
    number: Telephone | None = None
    access_number: Telephone | None = None


_INFO = msgspec.json.Decoder(LegInfo)


def infos_of(join: Join, claims: Claims) -> list[bytes]:
    """What is kept with the leg, for each alternative of its claims."""
    return [
        msgspec.json.encode(
            LegInfo(
                join.service, join.meeting, join.endpoint, join.role, chosen.facts.host, join.person,
                chosen.facts.department or join.department, chosen.licensed_by, chosen.counted_in, join.room, join.access,
                join.media == "audio", join.country, join.calling, join.number, join.access_number,
            )
        )
        for chosen in claims.alternatives
    ]  # fmt: skip


def info_of(info: bytes) -> LegInfo:
    """From what is kept with a leg."""
    return _INFO.decode(info)
