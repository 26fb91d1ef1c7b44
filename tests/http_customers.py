"""A customer in which every field of every plan is given, and bad values for each of them."""

from collections.abc import Iterable
from typing import Any

from http_inputs import (
    BOOLEANS,
    CONTROL,
    COUNTRIES,
    CUSTOMER_IDS,
    DATES,
    DIGITS,
    LISTS,
    NOT_TEXT,
    NUMBERS_E164,
    QUANTITY_MAX,
    TELEPHONE_NUMBERS,
    Fault,
    Values,
    choices,
    faults,
    not_null,
    numbers,
    required,
    texts,
)
from support import ALWAYS, customer_data, ports


_ORDER = {
    "pstn_limit": 10, "pstn_enforcement": "hard", "features": ["streaming"], "streaming": {"max_minutes": 60, "max_endpoints": 50},
}  # fmt: skip
_HOSTS = {
    "hosts": [{"id": "alice@acme.example", "given_name": "Alice", "family_name": "Example", "individual": True, "department": "sales"}],
    "approvals": [{"id": "bob@elsewhere.example", "approved_by": "Carol", "approved_on": "2026-01-01"}],
    "simultaneous_hosts": 1,
}  # fmt: skip
_EMPLOYEES = {
    **_HOSTS,
    "entities": [{"name": "Acme Labs", "domains": ["labs.example"], "controlled_percent": 51}],
    "employee_count": 100,
    "certifications": [{"certified_on": "2026-01-01", "count": 100, "certified_by": "Dana"}],
    "anchor_day": 15,
}
_ACTIVE_HOSTS = {
    **_EMPLOYEES, **_ORDER, "max_endpoints": 50, "quantity": 5, "base_percentage": 10, "subscription_periods": [ALWAYS],
}  # fmt: skip
_EVENTS = {**_ORDER, "max_attendees": 100, "attendees_enforcement": "hard", "duration_enforcement": "hard"}
_CALLING = {"blocked_numbers": ["+442079460958"], "blocked_country_codes": ["33"], "rate_card": "2026"}
_POOL = {"committed": 10, "enforcement": "metered", "ceiling": 20}


def _held(plan: str, **fields: Any) -> dict[str, Any]:
    return {"id": plan, "plan": plan, "term": ALWAYS, **fields}


CUSTOMER = customer_data(
    _held("meetings.concurrent_connections", **_POOL, **_ORDER, max_endpoints=50),
    _held("teams.concurrent_connections", **_POOL),
    _held("meetings.named_host", **_HOSTS, **_ORDER, quantity=1, max_endpoints=50),
    _held("events.unlimited", **_EVENTS, departments={"finance": 1}, fallback="per_event"),
    _held("events.per_event", **_EVENTS, quantity=3),
    _held("meetings.corporate_access", **_EMPLOYEES, **_ORDER, max_endpoints=50, one_meeting_per_host=True),
    _held("meetings.active_host_enterprise", **_ACTIVE_HOSTS),
    _held("meetings.active_host_group", **_ACTIVE_HOSTS, department="sales"),
    _held("teams.named_host", **_HOSTS, quantity=1),
    _held("teams.enterprise", **_EMPLOYEES, teams_licence="company_wide"),
    _held("teams.special_offer", term={"from": "2019-12-31", "to": "2020-12-30"}, signed_on="2019-12-31", committed=5, enforcement="notify",
          company_group="Acme", employee_count=1000, features=["relay"], partner="Partner", ends_on="2020-11-30"),
    _held("rooms.dolby_raas", quantity=1, rooms=[{"id": "boardroom", "territory": ["US"]}]),
    _held("rooms.network_room", quantity=1, rooms=[{"id": "lobby"}]),
    _held("calling.premium", **_CALLING),
    _held("calling.global_audio", **_CALLING, term={"from": "2021-01-01", "to": "2099-12-31"}, discount=10, annual_fee=1200),
    _held("access.china", **_POOL, ends_on="2098-12-31"),
    _held("assist.meeting"),
    _held("assist.event"),
    mode="enforce", store_failure="deny", employee_count=1000, retention_days=30,
)  # fmt: skip
"""A customer in which every field of every plan is given, and nothing is wrong. Its gateway needs a key for the blocked numbers."""

AT = {held["plan"]: f"subscriptions[{place}]" for place, held in enumerate(CUSTOMER["subscriptions"])}
"""Where each plan stands in it."""

_SUBSCRIPTION: dict[str, Values] = {
    "id": not_null(texts(128)),
    "plan": required(choices("meetings.ports", "Meetings.Named_Host")),
    "term": required({"text": "2026", "a list": [], "empty": {}, "last before first": {"from": "2026-01-02", "to": "2026-01-01"}}),
}
_FEATURES: Values = {
    **LISTS, "an unknown one": ["frobnicate"], "a number in it": [7], "null in it": [None], "a telephone number in it": [f"+1{DIGITS}"],
}  # fmt: skip
_OBJECT: Values = {"text": "x", "a number": 1, "a list": [], "true": True, "null": None}
_ORDER_FIELDS: dict[str, Values] = {
    **_SUBSCRIPTION,
    "pstn_limit": numbers(0, QUANTITY_MAX),
    "pstn_enforcement": not_null(choices("Hard", "soft")),
    "features": {**_FEATURES, "more than there are": ["streaming"] * 2},
    "streaming": _OBJECT,
}
_STREAMING_FIELDS: dict[str, Values] = {"max_minutes": numbers(1, QUANTITY_MAX), "max_endpoints": numbers(1, QUANTITY_MAX)}
_MEETINGS_FIELDS: dict[str, Values] = {**_ORDER_FIELDS, "max_endpoints": numbers(1, QUANTITY_MAX)}
_POOL_FIELDS: dict[str, Values] = {
    "committed": required(numbers(0, QUANTITY_MAX)),
    "enforcement": required(choices("Hard", "soft")),
    "ceiling": numbers(1, QUANTITY_MAX),
}
_HOSTS_FIELDS: dict[str, Values] = {
    "hosts": {**LISTS, "null in it": [None], "text in it": ["alice@acme.example"]},
    "approvals": {**LISTS, "null in it": [None]},
    "simultaneous_hosts": numbers(1, QUANTITY_MAX),
}
_HOST_FIELDS: dict[str, Values] = {
    "id": required(texts(128)), "given_name": texts(200), "family_name": texts(200), "individual": BOOLEANS, "department": texts(128),
}  # fmt: skip
_APPROVAL_FIELDS: dict[str, Values] = {
    "id": required(texts(128)), "approved_by": required(texts(200)), "approved_on": required(DATES),
}  # fmt: skip
_EMPLOYEES_FIELDS: dict[str, Values] = {
    **_HOSTS_FIELDS,
    "entities": {**LISTS, "null in it": [None], "text in it": ["labs.example"]},
    "employee_count": numbers(1, QUANTITY_MAX),
    "certifications": {**LISTS, "null in it": [None]},
    "anchor_day": not_null(numbers(1, 31)),
}
_ENTITY_FIELDS: dict[str, Values] = {
    "name": required(texts(200)),
    "domains": required({**LISTS, "empty": [], "null in it": [None], "a telephone number in it": [f"+1{DIGITS}"]}),
    "controlled_percent": required(numbers(0, 100)),
}
_CERTIFIED_FIELDS: dict[str, Values] = {
    "certified_on": required(DATES), "count": required(numbers(1, QUANTITY_MAX)), "certified_by": texts(200),
}  # fmt: skip
_ACTIVE_HOSTS_FIELDS: dict[str, Values] = {
    **_MEETINGS_FIELDS, **_EMPLOYEES_FIELDS, "quantity": numbers(1, QUANTITY_MAX), "base_percentage": numbers(1, 100),
    "subscription_periods": {**LISTS, "null in it": [None], "text in it": ["2026"]},
}  # fmt: skip
_EVENTS_FIELDS: dict[str, Values] = {
    **_ORDER_FIELDS,
    "max_attendees": required(numbers(1, QUANTITY_MAX)),
    "attendees_enforcement": not_null(choices("Hard", "soft")),
    "duration_enforcement": not_null(choices("Hard", "soft")),
}
_ROOMS_FIELDS: dict[str, Values] = {
    **_SUBSCRIPTION,
    "quantity": required(numbers(1, QUANTITY_MAX)),
    "rooms": {**LISTS, "null in it": [None], "text in it": ["boardroom"]},
}
_CALLING_FIELDS: dict[str, Values] = {
    **_SUBSCRIPTION,
    "blocked_numbers": {**LISTS, **{f"{name} in it": [value] for name, value in {
        **NUMBERS_E164, "null": None, "a hash without its key": "hash:" + "0" * 32, "under another key": f"hash:{'0' * 8}:{'0' * 32}",
    }.items()}},
    "blocked_country_codes": {**LISTS, **{f"{name} in it": [value] for name, value in {
        **TELEPHONE_NUMBERS, "null": None, "a number": 33, "empty": "", "a zero first": "033", "too long": "1234", "letters": "DE",
        "a newline at the end": "33\n",
    }.items()}},
    "rate_card": texts(128),
}  # fmt: skip

CUSTOMER_FIELDS: dict[str, dict[str, Values]] = {
    "": {
        "id": {**CUSTOMER_IDS, "null": None, "another than in the URL": "globex"},
        "name": required(texts(200)),
        "domains": {**LISTS, **{f"{name} in it": ["acme.example", value] for name, value in {
            **NOT_TEXT, **TELEPHONE_NUMBERS, "a space": "a b", "empty": "", "null": None, "a newline at the end": "acme.example\n",
            "too long": "x" * 254, "a dot first": ".acme", "NUL": "a\0b", "no ASCII": "é.example",
        }.items()}, "too many": ["a"] * 1001},
        "mode": not_null(choices("Enforce", "audit")),
        "store_failure": not_null(choices("Deny", "refuse")),
        "employee_count": numbers(1, QUANTITY_MAX),
        "retention_days": numbers(1, QUANTITY_MAX),
        "subscriptions": {**LISTS, "null in it": [None], "text in it": ["ports"], "a list in it": [[]], "too many": [ports(1)] * 101},
    },
    AT["meetings.concurrent_connections"]: {**_MEETINGS_FIELDS, **_POOL_FIELDS},
    f"{AT['meetings.concurrent_connections']}.term": {"from": required(DATES), "to": required(DATES)},
    f"{AT['meetings.concurrent_connections']}.streaming": _STREAMING_FIELDS,
    AT["teams.concurrent_connections"]: {**_SUBSCRIPTION, **_POOL_FIELDS},
    AT["meetings.named_host"]: {**_MEETINGS_FIELDS, **_HOSTS_FIELDS, "quantity": required(numbers(1, QUANTITY_MAX))},
    f"{AT['meetings.named_host']}.hosts[0]": _HOST_FIELDS,
    f"{AT['meetings.named_host']}.approvals[0]": _APPROVAL_FIELDS,
    AT["events.unlimited"]: {
        **_EVENTS_FIELDS,
        "departments": required({
            "text": "finance", "a list": ["finance"], "empty": {}, "too many": {f"d{n}": 1 for n in range(1001)},
            **{f"{name} as a name": {value: 1} for name, value in {**CONTROL, **TELEPHONE_NUMBERS, "empty": ""}.items()},
            **{f"{name} as a name of nothing": {value: 0} for name, value in TELEPHONE_NUMBERS.items()},
            **{f"{name} as a quantity": {"finance": value} for name, value in {**numbers(1, QUANTITY_MAX), "null": None}.items()},
        }),
        "fallback": choices("none", "Per_Event"),
    },
    AT["events.per_event"]: {**_EVENTS_FIELDS, "quantity": required(numbers(1, QUANTITY_MAX))},
    AT["meetings.corporate_access"]: {**_MEETINGS_FIELDS, **_EMPLOYEES_FIELDS, "one_meeting_per_host": BOOLEANS},
    f"{AT['meetings.corporate_access']}.entities[0]": _ENTITY_FIELDS,
    f"{AT['meetings.corporate_access']}.certifications[0]": _CERTIFIED_FIELDS,
    AT["meetings.active_host_enterprise"]: _ACTIVE_HOSTS_FIELDS,
    AT["meetings.active_host_group"]: {**_ACTIVE_HOSTS_FIELDS, "department": required(texts(128))},
    AT["teams.named_host"]: {**_SUBSCRIPTION, **_HOSTS_FIELDS, "quantity": required(numbers(1, QUANTITY_MAX))},
    AT["teams.enterprise"]: {**_SUBSCRIPTION, **_EMPLOYEES_FIELDS, "teams_licence": choices("company", "Company_Wide")},
    AT["teams.special_offer"]: {
        **_SUBSCRIPTION,
        "committed": required({**numbers(0, QUANTITY_MAX), "what is not offered": 3}),
        "enforcement": not_null(choices("Hard", "metered")),
        "signed_on": required(DATES),
        "company_group": required(texts(128)),
        "employee_count": numbers(1, QUANTITY_MAX),
        "features": {**_FEATURES, "more than there are": ["relay"] * 3},
        "partner": texts(200),
        "ends_on": DATES,
    },
    AT["rooms.dolby_raas"]: _ROOMS_FIELDS,
    f"{AT['rooms.dolby_raas']}.rooms[0]": {
        "id": required(texts(128)),
        "territory": {**LISTS, "empty": [], **{f"{name} in it": [value] for name, value in {**COUNTRIES, "no country": "XX"}.items()}},
    },
    AT["rooms.network_room"]: _ROOMS_FIELDS,
    f"{AT['rooms.network_room']}.rooms[0]": {"id": required(texts(128))},
    AT["calling.premium"]: _CALLING_FIELDS,
    AT["calling.global_audio"]: {
        **_CALLING_FIELDS, "discount": not_null(numbers(0, 100)), "annual_fee": numbers(0, QUANTITY_MAX),
    },
    AT["access.china"]: {**_SUBSCRIPTION, **_POOL_FIELDS, "ends_on": DATES},
    AT["assist.meeting"]: _SUBSCRIPTION,
    AT["assist.event"]: _SUBSCRIPTION,
}  # fmt: skip


def customer_faults() -> Iterable[Fault]:
    """Everything that can be wrong with the shape of a customer."""
    for prefix, fields in CUSTOMER_FIELDS.items():
        yield from faults(CUSTOMER, fields, prefix)
