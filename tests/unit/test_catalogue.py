"""A catalogue is refused whole, and says what is wrong with it: one file in `data` for each rule, and its one fault here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import customer_data, events, named_hosts, ports, teams_ports, term

import gateway.demo
from gateway.domain.catalogue import (
    CUSTOMERS_MAX,
    FILE_BYTES_MAX,
    CatalogueInvalid,
    offer_groups,
    parse_catalogue,
    parse_customer,
)
from gateway.domain.customer import Fault


DATA = Path(__file__).parents[1] / "data"
CUSTOMER = "$.customers[0]"
HELD = f"{CUSTOMER}.subscriptions[0]"
BESIDE = f"{CUSTOMER}.subscriptions[1]"

NO_FIELD = "is not a known field"
REQUIRED = "is required"
NO_ID = "has characters that are not allowed here, or looks like a telephone number"
NO_DATE = "is not a date (YYYY-MM-DD)"
NO_NUMBER = "Input should be a valid integer"
AT_LEAST_1 = "Input should be greater than or equal to 1"
ENFORCEMENTS = "Input should be 'metered' or 'hard'"
NO_EMPLOYEE = "is outside the customer's domains, and no approval is on record"
NO_INDIVIDUAL = (
    "is not an individual: a generic address, or given_name or family_name missing; "
    "`individual: true` overrides where that was audited"
)
NO_SERVICE = "needs a Meetings or Events subscription whose term overlaps with its own"
NO_NUMBER_TO_BLOCK = "is neither a telephone number as in E.164 (+ and 7 to 15 digits) nor the kept form of one"
NO_CALLING_CODE = "is not a country code as it is dialled, such as '33' or '+33'"
PLANS = (
    "is not a known plan; known are 'meetings.named_host', 'meetings.corporate_access', "
    "'meetings.concurrent_connections', 'meetings.active_host_enterprise', 'meetings.active_host_group', "
    "'teams.named_host', 'teams.concurrent_connections', 'teams.enterprise', 'teams.special_offer', "
    "'events.per_event', 'events.unlimited', 'rooms.dolby_raas', 'rooms.network_room', 'calling.premium', "
    "'calling.global_audio', 'access.china', 'assist.meeting', 'assist.event'"
)

FAULTS: dict[str, Fault] = {
    "not-utf-8": Fault("$", "is not UTF-8 text"),
    "nothing": Fault("$", "needs a list `customers`"),
    "field-given-twice": Fault("$", "has the field domains twice in one place"),
    "no-customers": Fault("$", "needs a list `customers`"),
    "customers-not-a-list": Fault("$", "needs a list `customers`"),
    "unknown-top-level-field": Fault("$.customer", NO_FIELD),
    "customer-not-a-mapping": Fault(CUSTOMER, "Input should be a valid dictionary or instance of Customer"),
    "customer-twice": Fault("$.customers[1].id", "is the id of customers[0] too"),
    "customer-without-id": Fault(f"{CUSTOMER}.id", REQUIRED),
    "customer-without-name": Fault(f"{CUSTOMER}.name", REQUIRED),
    "customer-unknown-field": Fault(f"{CUSTOMER}.committed", NO_FIELD),
    "customer-id-with-space": Fault(f"{CUSTOMER}.id", NO_ID),
    "customer-id-telephone-number": Fault(f"{CUSTOMER}.id", NO_ID),
    "customer-id-number": Fault(f"{CUSTOMER}.id", "Input should be a valid string"),
    "customer-id-too-long": Fault(f"{CUSTOMER}.id", "String should have at most 64 characters"),
    "name-empty": Fault(f"{CUSTOMER}.name", "String should have at least 1 character"),
    "name-with-control-character": Fault(f"{CUSTOMER}.name", NO_ID),
    "name-telephone-number": Fault(f"{CUSTOMER}.name", NO_ID),
    "domain-with-at": Fault(f"{CUSTOMER}.domains[0]", NO_ID),
    "domains-not-a-list": Fault(f"{CUSTOMER}.domains", "Input should be a valid tuple"),
    "mode-unknown": Fault(f"{CUSTOMER}.mode", "Input should be 'enforce' or 'shadow'"),
    "store-failure-unknown": Fault(f"{CUSTOMER}.store_failure", "Input should be 'deny', 'admit' or 'bounded'"),
    "plan-unknown": Fault(f"{HELD}.plan", PLANS),
    "plan-missing": Fault(f"{HELD}.plan", "is not a known plan; known are listed in the docs"),
    "subscription-unknown-field": Fault(f"{HELD}.celing", NO_FIELD),
    "subscription-id-twice": Fault(
        f"{CUSTOMER}.subscriptions[1].id", "'meetings.concurrent_connections' is the id of subscriptions[0] too"
    ),
    "term-missing": Fault(f"{HELD}.term", REQUIRED),
    "term-without-end": Fault(f"{HELD}.term.to", REQUIRED),
    "term-ends-before-it-begins": Fault(f"{HELD}.term", "ends before it begins"),
    "term-no-such-day": Fault(f"{HELD}.term.from", NO_DATE),
    "term-with-time": Fault(f"{HELD}.term.from", NO_DATE),
    "term-a-year": Fault(f"{HELD}.term.from", NO_DATE),
    "term-a-week": Fault(f"{HELD}.term.from", NO_DATE),
    "committed-missing": Fault(f"{HELD}.committed", REQUIRED),
    "committed-negative": Fault(f"{HELD}.committed", "Input should be greater than or equal to 0"),
    "committed-too-large": Fault(f"{HELD}.committed", "Input should be less than or equal to 10000000"),
    "committed-text": Fault(f"{HELD}.committed", NO_NUMBER),
    "committed-fraction": Fault(f"{HELD}.committed", NO_NUMBER),
    "committed-yes": Fault(f"{HELD}.committed", NO_NUMBER),
    "enforcement-missing": Fault(f"{HELD}.enforcement", REQUIRED),
    "enforcement-unknown": Fault(f"{HELD}.enforcement", ENFORCEMENTS),
    "ceiling-with-hard": Fault(HELD, "a ceiling goes with metered enforcement; hard enforcement refuses at committed"),
    "ceiling-below-committed": Fault(HELD, "ceiling is below committed"),
    "ceiling-zero": Fault(f"{HELD}.ceiling", AT_LEAST_1),
    "max-endpoints-zero": Fault(f"{HELD}.max_endpoints", AT_LEAST_1),
    "teams-max-endpoints": Fault(f"{HELD}.max_endpoints", NO_FIELD),
    "T1.5-ports-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].enforcement", "is hard, while a of the same plan and time is metered", "T1.5"
    ),
    "T1.5-events-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].attendees_enforcement",
        "is hard, while a of the same plan and time is metered",
        "T1.5",
    ),
    "T1.5-teams-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].enforcement", "is metered, while a of the same plan and time is hard", "T1.5"
    ),
    "quantity-missing": Fault(f"{HELD}.quantity", REQUIRED),
    "quantity-zero": Fault(f"{HELD}.quantity", AT_LEAST_1),
    "simultaneous-hosts-zero": Fault(f"{HELD}.simultaneous_hosts", AT_LEAST_1),
    "host-without-id": Fault(f"{HELD}.hosts[0].id", REQUIRED),
    "host-unknown-field": Fault(f"{HELD}.hosts[0].phone", NO_FIELD),
    "individual-text": Fault(f"{HELD}.hosts[0].individual", "Input should be a valid boolean"),
    "approval-without-approver": Fault(f"{HELD}.approvals[0].approved_by", REQUIRED),
    "T2.1-more-hosts-than-quantity": Fault(f"{HELD}.hosts", "2 hosts for a quantity of 1", "T2.1"),
    "T2.1-host-twice": Fault(
        f"{HELD}.hosts[1].id", "is listed twice (addresses compare case-folded, plus-tags removed)", "T2.1"
    ),
    "T2.1-host-outside-domains": Fault(f"{HELD}.hosts[0].id", NO_EMPLOYEE, "T2.1"),
    "T2.1-host-in-subdomain": Fault(f"{HELD}.hosts[0].id", NO_EMPLOYEE, "T2.1"),
    "T2.1-approval-of-somebody-else": Fault(f"{HELD}.hosts[0].id", NO_EMPLOYEE, "T2.1"),
    "T2.4-generic-name": Fault(f"{HELD}.hosts[0]", NO_INDIVIDUAL, "T2.4"),
    "T2.4-given-name-missing": Fault(f"{HELD}.hosts[0]", NO_INDIVIDUAL, "T2.4"),
    "T2.4-family-name-missing": Fault(f"{HELD}.hosts[0]", NO_INDIVIDUAL, "T2.4"),
    "T10.1-offer-of-three": Fault(f"{HELD}.committed", "is 3; the offer is for 2 or 5 connections", "T10.1"),
    "T10.1-offer-of-two-years": Fault(
        f"{HELD}.term", "is not the 12 months from signing, 2026-01-01 to 2026-12-31", "T10.1"
    ),
    "T10.1-offer-from-another-day": Fault(
        f"{HELD}.term", "is not the 12 months from signing, 2025-12-31 to 2026-12-30", "T10.1"
    ),
    "T10.1-offer-of-five-to-few": Fault(
        f"{HELD}.employee_count", "5 connections are offered from 1000 employees; 999 are stated", "T10.1"
    ),
    "T10.1-offer-renewed": Fault(
        f"{CUSTOMER}.subscriptions[1].plan", "is held once and not renewed; a is a special offer too", "T10.1"
    ),
    "T10.1-offer-to-a-customer": Fault(
        f"{CUSTOMER}.subscriptions[1].signed_on",
        "is a day after a was active; the offer is for those without an active subscription",
        "T10.1",
    ),
    "T10.1-offer-to-a-group-twice": Fault(
        "$.customers[1].subscriptions[0].company_group", "has a special offer with customers[0] already", "T10.1"
    ),
    "quantity-of-events-zero": Fault(f"{HELD}.quantity", AT_LEAST_1),
    "max-attendees-of-per-event-missing": Fault(f"{HELD}.max_attendees", REQUIRED),
    "duration-enforcement-unknown": Fault(f"{HELD}.duration_enforcement", ENFORCEMENTS),
    "T1.5-durations-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].duration_enforcement",
        "is hard, while a of the same plan and time is metered",
        "T1.5",
    ),
    "departments-missing": Fault(f"{HELD}.departments", REQUIRED),
    "departments-empty": Fault(f"{HELD}.departments", "Dictionary should have at least 1 item after validation, not 0"),
    "departments-a-list": Fault(f"{HELD}.departments", "Input should be a valid dictionary"),
    "department-without-licence": Fault(f"{HELD}.departments.finance", AT_LEAST_1),
    "department-telephone-number": Fault(f"{HELD}.departments.?", NO_ID),
    "max-attendees-missing": Fault(f"{HELD}.max_attendees", REQUIRED),
    "attendees-enforcement-unknown": Fault(f"{HELD}.attendees_enforcement", ENFORCEMENTS),
    "fallback-unknown": Fault(f"{HELD}.fallback", "Input should be 'per_event'"),
    "T15.3-pstn-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].pstn_enforcement",
        "is hard, while a of the same service and time is metered",
        "T15.3",
    ),
    "T13.1-more-rooms-than-quantity": Fault(f"{BESIDE}.rooms", "2 rooms for a quantity of 1", "T13.1"),
    "T13.1-room-twice": Fault(
        f"{BESIDE}.rooms[1].id",
        "is listed in rooms.network_room already (rooms compare case-folded, plus-tags removed)",
        "T13.1",
    ),
    "T13.1-room-in-two-plans": Fault(
        f"{CUSTOMER}.subscriptions[2].rooms[0].id",
        "is listed in rooms.dolby_raas already (rooms compare case-folded, plus-tags removed)",
        "T13.1",
    ),
    "T13.3-room-alone": Fault(BESIDE, NO_SERVICE, "T13.3"),
    "T13.3-room-before-meetings": Fault(BESIDE, NO_SERVICE, "T13.3"),
    "territory-unknown": Fault(
        f"{BESIDE}.rooms[0].territory[1]", "is not an ISO 3166 country code of two capital letters"
    ),
    "territory-empty": Fault(
        f"{BESIDE}.rooms[0].territory", "Tuple should have at least 1 item after validation, not 0"
    ),
    "territory-of-network-room": Fault(f"{BESIDE}.rooms[0].territory", NO_FIELD),
    "room-telephone-number": Fault(f"{BESIDE}.rooms[0].id", NO_ID),
    "T16.1-premium-calling-comes-back": Fault(
        f"{CUSTOMER}.subscriptions[1].term.from",
        "is not before the first day of a, which replaces this plan for good",
        "T16.1",
    ),
    "blocked-number-unclear": Fault(f"{HELD}.blocked_numbers[1]", NO_NUMBER_TO_BLOCK),
    "blocked-number-too-long": Fault(f"{HELD}.blocked_numbers[0]", NO_NUMBER_TO_BLOCK),
    "blocked-number-hash-cut": Fault(f"{HELD}.blocked_numbers[0]", NO_NUMBER_TO_BLOCK),
    "blocked-number-without-quotes": Fault(f"{HELD}.blocked_numbers[0]", "Input should be a valid string"),
    "blocked-country-code-letters": Fault(f"{HELD}.blocked_country_codes[1]", NO_CALLING_CODE),
    "blocked-country-code-number": Fault(f"{HELD}.blocked_country_codes[0]", NO_CALLING_CODE),
    "discount-over-100": Fault(f"{HELD}.discount", "Input should be less than or equal to 100"),
    "discount-of-premium-calling": Fault(f"{HELD}.discount", NO_FIELD),
    "annual-fee-fraction": Fault(f"{HELD}.annual_fee", NO_NUMBER),
    "ends-on-no-date": Fault(f"{HELD}.ends_on", NO_DATE),
    "T1.5-china-disagree": Fault(
        f"{CUSTOMER}.subscriptions[1].enforcement", "is metered, while a of the same plan and time is hard", "T1.5"
    ),
    "assist-unknown-field": Fault(f"{HELD}.quantity", NO_FIELD),
}

UNREADABLE = {
    "syntax": "did not find expected node content",
    "tag-of-another-language": "could not determine a constructor for the tag",
    "tag-that-does-not-fit-bool": "",
    "tag-that-does-not-fit-int": "",
    "tag-that-does-not-fit-timestamp": "",
}
"""Files that YAML itself refuses, with a part of what its reader says; the rest of its words differ between its versions."""

SEVERAL = {"term-by-other-names": {"from": REQUIRED, "to": REQUIRED, "first": NO_FIELD, "last": NO_FIELD}}


def faults_of(text: bytes | str) -> list[Fault]:
    """What is wrong with a catalogue; empty where nothing is."""
    try:
        parse_catalogue(text)
    except CatalogueInvalid as error:
        return error.faults
    return []


def faults_of_one(*subscriptions: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Where a catalogue of one customer with these has faults, and by which rules."""
    found = faults_of(json.dumps({"customers": [customer_data(*subscriptions)]}))
    return [(fault.path, fault.rule) for fault in found]


def test_every_file_has_its_fault_here() -> None:
    """The folder and the tables name the same files."""
    assert {path.stem for path in DATA.glob("*.yaml")} == FAULTS.keys() | UNREADABLE.keys() | SEVERAL.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_catalogue_has_exactly_this_fault(name: str) -> None:
    """The one thing that is wrong with the file is told: where, what, and by which rule of the terms."""
    assert [FAULTS[name]] == faults_of((DATA / f"{name}.yaml").read_bytes())


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_yaml_refuses_is_a_fault(name: str) -> None:
    """Whatever a file holds, reading it ends with a fault of the whole file and never with another error."""
    (fault,) = faults_of((DATA / f"{name}.yaml").read_bytes())
    assert ("$", None) == (fault.path, fault.rule)
    assert fault.message.startswith("is neither YAML nor JSON: ")
    assert UNREADABLE[name] in fault.message


def test_a_field_given_twice_is_a_fault_in_json_too() -> None:
    """The second value does not silently take the place of the first."""
    text = '{"customers": [{"id": "acme", "name": "Acme", "mode": "shadow", "mode": "enforce"}]}'
    assert [Fault("$", "has the field mode twice in one place")] == faults_of(text)


@pytest.mark.parametrize("name", SEVERAL)
def test_fields_under_other_names_are_not_known(name: str) -> None:
    """A field has one name; the name that the code has for it does not do."""
    found = {fault.path: fault.message for fault in faults_of((DATA / f"{name}.yaml").read_bytes())}
    assert {f"{HELD}.term.{field}": message for field, message in SEVERAL[name].items()} == found


def test_all_faults_are_told_at_once() -> None:
    """Faults of all customers stand in one list, in the order of the document, and the good customer beside them does not help."""
    bad_shape = customer_data(ports(-1), id="shape")
    bad_rules = customer_data(named_hosts("alice", "admin", quantity=1), id="rules")
    good = customer_data(ports(1), id="good")
    found = faults_of(json.dumps({"customers": [bad_shape, good, bad_rules, good]}))
    assert [
        ("$.customers[0].subscriptions[0].committed", None),
        ("$.customers[2].subscriptions[0].hosts", "T2.1"),
        ("$.customers[2].subscriptions[0].hosts[1]", "T2.4"),
        ("$.customers[3].id", None),
    ] == [(fault.path, fault.rule) for fault in found]


def test_a_good_catalogue_has_no_fault() -> None:
    """The catalogue of the demonstration is good, and what is read is what stands in it, in YAML and in JSON."""
    demo = (Path(gateway.demo.__file__).parent / "catalogue.yaml").read_bytes()
    assert ["acme", "globex", "initech", "umbrella", "wayne"] == [customer.id for customer in parse_catalogue(demo)][:5]

    held = [ports(10), teams_ports(5), named_hosts("alice", "bruno"), events()]
    (customer,) = parse_catalogue(json.dumps({"customers": [customer_data(*held)]}))
    (again,) = parse_catalogue(json.dumps({"customers": [customer.document()]}))
    assert customer == again
    assert [subscription["plan"] for subscription in held] == [
        subscription.id for subscription in customer.subscriptions
    ]


def test_T2_4_an_audited_individual_may_have_a_generic_name() -> None:
    """`individual: true` overrides the refusal of a generic address and of missing names."""
    hosts = [{"id": "room12@acme.example", "individual": True}]
    assert [] == faults_of(json.dumps({"customers": [customer_data(named_hosts(quantity=1, hosts=hosts))]}))


def test_T2_1_an_approval_lets_in_an_address_of_another_domain() -> None:
    """The approval counts whatever case and plus-tag the address is written with."""
    hosts = [{"id": "bruno+work@elsewhere.example", "given_name": "Bruno", "family_name": "Keller"}]
    approvals = [{"id": "Bruno@Elsewhere.example", "approved_by": "Dana", "approved_on": "2026-01-01"}]
    held = named_hosts(quantity=1, hosts=hosts, approvals=approvals)
    assert [] == faults_of(json.dumps({"customers": [customer_data(held)]}))


def offer(year: int, group: str = "Acme Group") -> dict[str, Any]:
    """A special offer for a year."""
    first = f"{year}-01-01"
    held = {"id": "offer", "plan": "teams.special_offer", "committed": 2, "signed_on": first, "company_group": group}
    return {**held, **term(first, f"{year}-12-31")}


def later(year: int, plan: str, **fields: Any) -> dict[str, Any]:
    """A subscription of a year; its id tells both."""
    return {"id": f"{plan} {year}", "plan": plan, **term(f"{year}-01-01", f"{year}-12-31"), **fields}


def test_all_plans_can_be_held_by_one_customer() -> None:
    """Eighteen plans with the least that each must state; what is stored is what stands in the catalogue."""
    pool = {"committed": 5, "enforcement": "hard"}
    certified = {"certifications": [{"certified_on": "2026-01-01", "count": 100}]}
    plans: dict[str, dict[str, Any]] = {
        "meetings.named_host": {"quantity": 1},
        "meetings.corporate_access": certified,
        "meetings.concurrent_connections": pool,
        "meetings.active_host_enterprise": {"base_percentage": 20, **certified},
        "meetings.active_host_group": {"base_percentage": 20, "department": "finance", **certified},
        "teams.named_host": {"quantity": 1},
        "teams.concurrent_connections": pool,
        "teams.enterprise": certified,
        "events.per_event": {"quantity": 1, "max_attendees": 10},
        "events.unlimited": {"departments": {"finance": 1}, "max_attendees": 10},
        "rooms.dolby_raas": {"quantity": 1},
        "rooms.network_room": {"quantity": 1},
        "calling.premium": {},
        "access.china": pool,
        "assist.meeting": {},
        "assist.event": {},
    }
    held = [offer(2026), *[later(2026, plan, **fields) for plan, fields in plans.items()]]
    given = customer_data(*held, later(2027, "calling.global_audio"))
    (customer,) = parse_catalogue(json.dumps({"customers": [given]}))
    assert 18 == len(customer.subscriptions)
    assert given["subscriptions"] == customer.document()["subscriptions"]


def test_T1_5_subscriptions_of_different_times_or_plans_need_not_agree() -> None:
    """Terms that follow each other, an access that was ended before the next began, and two plans of events."""
    assert [] == faults_of_one(
        later(2026, "meetings.concurrent_connections", committed=5, enforcement="hard"),
        later(2027, "meetings.concurrent_connections", committed=5, enforcement="metered"),
        later(2026, "access.china", committed=5, enforcement="hard", ends_on="2026-05-31"),
        {"plan": "access.china", "committed": 5, "enforcement": "metered", **term("2026-06-01", "2027-05-31")},
        later(2026, "events.per_event", quantity=1, max_attendees=10, attendees_enforcement="hard"),
        later(2026, "events.unlimited", departments={"finance": 1}, max_attendees=10),
    )


def test_T15_3_orders_that_state_no_limit_need_not_agree() -> None:
    """The enforcement of a telephone limit is compared where there is one, and within one service."""
    pstn = {"pstn_limit": 10, "pstn_enforcement": "hard"}
    assert [] == faults_of_one(
        later(2026, "events.per_event", quantity=1, max_attendees=10, **pstn),
        later(2026, "events.unlimited", departments={"finance": 1}, max_attendees=10),
        later(2026, "meetings.named_host", quantity=1, pstn_limit=10),
    )


def test_T10_1_an_offer_is_for_customers_without_an_active_subscription() -> None:
    """What ended two days before, or begins on the day of signing, does not stand against it; a day before does."""
    before = {"id": "before", "plan": "assist.meeting"}
    good = faults_of_one({**before, **term("2025-01-01", "2025-12-30")}, later(2026, "assist.event"), offer(2026))
    bad = faults_of_one({**before, **term("2025-12-31", "2025-12-31")}, offer(2026))
    assert ([], [("$.customers[0].subscriptions[1].signed_on", "T10.1")]) == (good, bad)


def test_T10_1_a_company_group_has_one_offer() -> None:
    """Groups compare case-folded over all customers of a catalogue; each later customer is told, with the place of the first."""
    held = [customer_data(offer(2026 + number, group), id=f"c{number}") for number, group in enumerate("AaBA")]
    assert [
        Fault(
            f"$.customers[{number}].subscriptions[0].company_group",
            "has a special offer with customers[0] already",
            "T10.1",
        )
        for number in (1, 3)
    ] == faults_of(json.dumps({"customers": held}))
    parsed = [parse_customer(customer) for customer in (*held, customer_data(ports(1)))]
    assert [{"a"}, {"a"}, {"b"}, {"a"}, set()] == [offer_groups(customer) for customer in parsed]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b" " * (FILE_BYTES_MAX + 1), Fault("$", f"is larger than {FILE_BYTES_MAX} bytes")),
        (
            '{"customers": [' + "1," * CUSTOMERS_MAX + "1]}",
            Fault("$.customers", f"has more than {CUSTOMERS_MAX} entries"),
        ),
    ],
    ids=["bytes", "customers"],
)
def test_the_size_of_a_catalogue_is_bounded(text: Any, fault: Fault) -> None:
    """What is larger than any provider's catalogue is refused before it is looked into."""
    assert [fault] == faults_of(text)


def test_aliases_are_not_unfolded() -> None:
    """A small file that stands for a billion values is refused as fast as any other."""
    rows = [f"    n{level}: &n{level} [{', '.join([f'*n{level - 1}'] * 9)}]" for level in range(1, 10)]
    text = "\n".join(["customers:", "  - id: acme", "    name: Acme", "    n0: &n0 [x, x]", *rows])
    assert [Fault(f"{CUSTOMER}.n{level}", NO_FIELD) for level in range(10)] == faults_of(text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            (DATA / "T2.1-more-hosts-than-quantity.yaml").read_text(),
            f": {HELD}.hosts: 2 hosts for a quantity of 1 [T2.1]\n",
        ),
        ("customers: " + "[" * 200_000, ": $: "),
        ("customers: " + "{a: " * 200_000, ": $: "),
        ("- " * 200_000, ": $: "),
        ('{"customers": ' + "[" * 200_000, ": $: "),
    ],
    ids=["a rule", "deep lists", "deep mappings", "deep blocks", "deep JSON"],
)
def test_gateway_check_ends_with_exit_code_1(tmp_path: Path, content: str, told: str) -> None:
    """`gateway check` tells the fault in one line and ends with 1, whatever the file holds."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(content)
    done = subprocess.run([sys.executable, "-m", "gateway", "check", file], capture_output=True, text=True, check=False)
    assert 1 == done.returncode, done.stderr[-500:]
    assert f"{file}{told}" == done.stderr[: len(f"{file}{told}")]
    assert "Traceback" not in done.stderr
