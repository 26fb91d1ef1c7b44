"""What subscriptions add to meetings and events: rooms (T13, T14), calling (T15, T16), access from China (T17)."""

import datetime as dt
import json
from typing import Any

import pytest
from support import customer, customer_data, ports

from gateway.domain.catalogue import CatalogueInvalid, blocked_in_clear, parse_customer, with_kept_numbers
from gateway.domain.contract import CHINA, CustomerLimit, commitments, customer_limits
from gateway.domain.customer import Subscription
from gateway.domain.join import Telephone
from gateway.domain.limits import Limit
from gateway.domain.plans.calling import CallingTerms, GlobalAudio, PremiumCalling, calling_terms
from gateway.domain.plans.china import ChinaAccess, china_refusal
from gateway.domain.plans.rooms import DolbyRooms, NetworkRooms, RoomLicence, room_licences
from gateway.domain.reasons import Reason


KEPT = "hash:0a1b2c3d:00112233445566778899aabbccddeeff"
OTHER = "hash:0a1b2c3d:ffeeddccbbaa99887766554433221100"
NUMBER = "+14155550100"


def held(plan: str, first: str = "2026-01-01", last: str = "2026-12-31", **fields: Any) -> dict[str, Any]:
    """A subscription of a plan in 2026."""
    return {"plan": plan, "term": {"from": first, "to": last}, **fields}


def premium(**fields: Any) -> PremiumCalling:
    """`calling.premium` in 2026."""
    return PremiumCalling.model_validate(held("calling.premium", **fields))


def audio(**fields: Any) -> GlobalAudio:
    """`calling.global_audio` in 2026."""
    return GlobalAudio.model_validate(held("calling.global_audio", **fields))


def china(committed: int = 5, **fields: Any) -> ChinaAccess:
    """`access.china` in 2026, metered."""
    given = {"committed": committed, "enforcement": "metered", **fields}
    return ChinaAccess.model_validate(held("access.china", **given))


def day(date: str) -> int:
    """The ordinal of a day."""
    return dt.date.fromisoformat(date).toordinal()


def in_force(date: str, *subscriptions: Subscription) -> CallingTerms:
    """The calling terms of a day on which there are some."""
    terms = calling_terms(subscriptions, day(date))
    assert terms is not None
    return terms


def test_T13_1_a_room_is_licensed_under_its_normal_id() -> None:
    """Rooms of both plans, by ids that compare case-folded with plus-tags removed, each with its subscription."""
    dolby = DolbyRooms.model_validate(held("rooms.dolby_raas", quantity=2, rooms=[{"id": "Boardroom+4@Acme.example"}]))
    network = NetworkRooms.model_validate(
        held("rooms.network_room", quantity=1, rooms=[{"id": "huddle-7"}], id="rooms")
    )
    expected = {
        "boardroom@acme.example": RoomLicence("rooms.dolby_raas", frozenset({"US"})),
        "huddle-7": RoomLicence("rooms", None),
    }
    assert expected == room_licences([dolby, network])


def test_T13_1_without_an_active_subscription_no_room_is_licensed() -> None:
    """Nothing comes of nothing."""
    assert {} == room_licences([])


def test_T13_1_a_room_may_move_to_another_licence_when_the_term_ends() -> None:
    """Two licences of one room are a fault only where their terms overlap."""
    old = held("rooms.network_room", "2025-01-01", "2025-12-31", quantity=1, rooms=[{"id": "boardroom-1"}], id="old")
    new = held("rooms.network_room", quantity=1, rooms=[{"id": "boardroom-1"}], id="new")
    assert 3 == len(customer(ports(10), old, new).subscriptions)


@pytest.mark.parametrize("plan", ["meetings.concurrent_connections", "events.per_event"])
def test_T13_3_meetings_or_events_make_a_room_licence_good(plan: str) -> None:
    """One day on which both are in force is enough."""
    given: dict[str, Any] = {"committed": 1, "enforcement": "hard"}
    if plan == "events.per_event":
        given = {"quantity": 1, "max_attendees": 10}
    needed = held(plan, "2026-12-31", "2027-12-30", **given)
    assert 2 == len(customer(held("rooms.network_room", quantity=1), needed).subscriptions)


def test_T13_5_a_dolby_room_has_the_territory_that_its_order_states() -> None:
    """The United States where the order names no country."""
    rooms = [{"id": "paris-1", "territory": ["FR", "DE"]}, {"id": "denver-1"}]
    licences = room_licences([DolbyRooms.model_validate(held("rooms.dolby_raas", quantity=2, rooms=rooms))])
    found = {room: licence.territory for room, licence in licences.items()}
    assert {"paris-1": frozenset({"FR", "DE"}), "denver-1": frozenset({"US"})} == found


def test_T14_a_network_room_has_no_territory() -> None:
    """It may be anywhere."""
    network = NetworkRooms.model_validate(held("rooms.network_room", quantity=1, rooms=[{"id": "paris-1"}]))
    assert {"paris-1": RoomLicence("rooms.network_room", None)} == room_licences([network])


@pytest.mark.parametrize("subscription", [premium(), audio()], ids=["T15", "T16"])
def test_T15_1_either_plan_licenses_calling_from_its_first_to_its_last_day(subscription: Subscription) -> None:
    """On the days around the term there are no calling terms."""
    days = ["2025-12-31", "2026-01-01", "2026-12-31", "2027-01-01"]
    found = [calling_terms([subscription], day(date)) is not None for date in days]
    assert [False, True, True, False] == found


def test_T15_1_other_plans_do_not_license_calling() -> None:
    """They are passed over."""
    assert calling_terms([china()], day("2026-06-01")) is None
    assert calling_terms([china(), premium()], day("2026-06-01")) is not None


def test_T15_2_a_number_is_blocked_by_its_hash() -> None:
    """The kept form is compared; another number, a number without a hash and no number at all pass."""
    terms = in_force("2026-06-01", premium(blocked_numbers=[KEPT]))
    telephones = [Telephone(hash=KEPT), Telephone(hash=OTHER), Telephone(), None]
    assert [True, False, False, False] == [terms.blocks(telephone) for telephone in telephones]


def test_T15_2_a_number_in_the_clear_blocks_nothing() -> None:
    """Only kept forms can be compared, and no join tells more."""
    terms = in_force("2026-06-01", premium(blocked_numbers=[NUMBER]))
    assert not terms.blocks(Telephone(hash=KEPT, calling_code=1, country="US"))


def test_T15_2_a_country_code_is_blocked_with_or_without_its_plus() -> None:
    """Codes compare as numbers, whole: 3 does not block 33."""
    terms = in_force("2026-06-01", premium(blocked_country_codes=["+33", "49", "3"]))
    assert frozenset({33, 49, 3}) == terms.blocked_country_codes
    codes = [33, 49, 34, None]
    assert [True, True, False, False] == [terms.blocks(Telephone(calling_code=code)) for code in codes]


def test_T15_2_what_any_subscription_in_force_blocks_is_blocked() -> None:
    """Lists of two subscriptions add up, those of another time do not count."""
    terms = in_force(
        "2026-06-01",
        audio(id="a", blocked_numbers=[KEPT]),
        audio(id="b", blocked_country_codes=["33"]),
        audio(id="c", first="2025-01-01", last="2025-12-31", blocked_country_codes=["49"]),
    )
    assert CallingTerms(frozenset({KEPT}), frozenset({33})) == terms


def test_T15_2_numbers_are_stored_in_the_kept_form() -> None:
    """Numbers in the clear are hashed by the caller's key, kept ones stay, and nothing else of the customer changes."""
    given = customer(
        ports(10),
        held("calling.premium", blocked_numbers=[NUMBER, OTHER], blocked_country_codes=["33"]),
    )
    asked: list[str] = []

    def keep(number: str) -> str:
        asked.append(number)
        return KEPT

    stored = with_kept_numbers(given, keep)
    assert [NUMBER] == asked
    assert (True, False) == (blocked_in_clear(given), blocked_in_clear(stored))
    expected = given.document()
    expected["subscriptions"][1]["blocked_numbers"] = [KEPT, OTHER]
    assert expected == stored.document()
    assert stored == parse_customer(stored.document())


def test_T21_1_only_the_kept_form_is_stored() -> None:
    """What does not come back as a kept form is an error of the caller, not a number in the store."""
    with pytest.raises(AssertionError, match="keep gives the kept form"):
        with_kept_numbers(customer(held("calling.premium", blocked_numbers=[NUMBER])), str)


@pytest.mark.parametrize(
    "fields",
    [
        {"blocked_numbers": [f"{NUMBER} "]},
        {"blocked_numbers": [f"tel:{NUMBER}"]},
        {"blocked_numbers": [int(NUMBER)]},
        {"blocked_numbers": {NUMBER: True}},
        {"blocked_numbers": NUMBER},
        {"blocked_numbers": [NUMBER + "12345"]},
        {"blocked_numbers": [f"{NUMBER}\n"]},
        {"blocked_country_codes": [NUMBER]},
        {"rate_card": NUMBER},
        {"id": NUMBER},
        {NUMBER: True},
    ],
)
def test_T21_1_a_fault_never_echoes_a_number(fields: dict[str, Any]) -> None:
    """Whatever is wrong with it and wherever it stands."""
    with pytest.raises(CatalogueInvalid) as refused:
        parse_customer(customer_data(held("calling.premium", **fields)))
    assert refused.value.faults
    assert NUMBER[1:] not in json.dumps([str(fault) for fault in refused.value.faults])
    assert NUMBER[1:] not in str(refused.value)


def test_T16_1_global_audio_replaces_premium_calling_from_its_first_day() -> None:
    """The day before, T15 is in force; from the first day of T16 it is T16 alone, and its blocks with it."""
    old = premium(blocked_country_codes=["33"])
    new = audio(first="2026-07-01", last="2026-09-30", blocked_country_codes=["49"])
    found = [in_force(date, old, new).blocked_country_codes for date in ("2026-06-30", "2026-07-01", "2026-09-30")]
    assert [{33}, {49}, {49}] == found


def test_T16_1_a_replaced_premium_calling_does_not_come_back() -> None:
    """After the last day of T16 neither is in force, though T15's term goes on."""
    both = [premium(), audio(first="2026-07-01", last="2026-09-30")]
    assert calling_terms(both, day("2026-10-01")) is None
    assert calling_terms(both[:1], day("2026-10-01")) is not None


def test_T16_2_global_audio_states_its_discount_and_fee() -> None:
    """Per cent and whole units; an order may state none."""
    assert (15, 12_000) == (audio(discount=15, annual_fee=12_000).discount, audio(annual_fee=12_000).annual_fee)
    assert (0, None) == (audio().discount, audio().annual_fee)


def test_T17_1_access_needs_a_subscription_in_force() -> None:
    """None held, none yet, and no longer: not licensed. From the first to the last day: no refusal."""
    assert Reason.ACCESS_NOT_LICENSED == china_refusal([], day("2026-06-01"))
    days = ["2025-12-31", "2026-01-01", "2026-12-31", "2027-01-01"]
    refused = Reason.ACCESS_NOT_LICENSED
    assert [refused, None, None, refused] == [china_refusal([china()], day(date)) for date in days]


def test_T17_1_the_pool_is_that_of_all_subscriptions_in_force() -> None:
    """Commitments and ceilings add up; hard, the commitments are the ceiling; one without a ceiling takes it from all."""

    def pool(one: dict[str, Any], other: dict[str, Any]) -> dict[str, CustomerLimit]:
        return customer_limits([china(5, id="one", **one), china(7, id="other", **other)])

    hard = {"enforcement": "hard"}
    both = ("one", "other")
    assert {CHINA: CustomerLimit(Limit(ceiling=12, committed=12), both)} == pool(hard, hard)
    assert {CHINA: CustomerLimit(Limit(ceiling=25, committed=12), both)} == pool({"ceiling": 10}, {"ceiling": 15})
    assert {CHINA: CustomerLimit(Limit(committed=12), both)} == pool({"ceiling": 10}, {})


def test_T17_1_the_pool_is_metered_for_the_whole_customer() -> None:
    """Its commitment is told under the name of the pool, on the days on which the subscription is in force."""
    given = customer(ports(9), held("access.china", committed=5, enforcement="metered"))
    assert {"ports": 9, CHINA: 5} == commitments(given, day("2026-12-31"))
    assert {"ports": 9} == commitments(given, day("2027-01-01"))


def test_T17_2_access_ends_on_notice() -> None:
    """The last day is `ends_on`; from the next on it has ended, and after the term it is not licensed."""
    ended = china(ends_on="2026-06-30")
    found = [china_refusal([ended], day(date)) for date in ("2026-06-30", "2026-07-01", "2026-12-31", "2027-01-01")]
    assert [None, Reason.ACCESS_ENDED, Reason.ACCESS_ENDED, Reason.ACCESS_NOT_LICENSED] == found


def test_T17_2_another_subscription_in_force_keeps_the_access() -> None:
    """One that was ended takes nothing from one that was not."""
    both = [china(ends_on="2026-06-30"), china(id="new", first="2026-07-01")]
    assert china_refusal(both, day("2026-07-01")) is None
