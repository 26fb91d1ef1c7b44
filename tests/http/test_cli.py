"""The command line, run as a user runs it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_client import json_request, send
from http_people import People
from plans import corporate, per_event, premium_calling, special_offer
from support import RunningGateway, customer_data, join_data, ports

import gateway.demo
from gateway.domain.catalogue import parse_catalogue


MakeGateway = Callable[..., Awaitable[RunningGateway]]
SAMPLE = Path(gateway.demo.__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


async def run(*arguments: str, **env: str) -> Ran:
    """Runs `gateway` with these arguments."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "COLUMNS": "200", **env},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def test_the_scripted_demo_ends_as_it_says() -> None:
    """Every decision is the expected one, and the exit code is 0."""
    ran = await run("demo", "--once")

    assert (0, "") == (ran.code, ran.err)
    for reason in (
        "host_not_present",
        "admitted (overage)",
        "ports_full",
        "replayed",
        "host_busy",
        "hosts_full",
        "events_concurrent_full",
        "shadow",
    ):
        assert reason in ran.out


async def test_the_quarter_of_an_hour_can_be_played_in_seconds() -> None:
    """Without a terminal it prints lines; overage and denials occur; it ends when told so."""
    ran = await run("demo", "--seconds", "5", "--exit")

    assert 0 == ran.code, ran.err
    last = [line for line in ran.out.splitlines() if line.startswith("decisions:")][-1]
    for reason in (
        "admitted",
        "overage",
        "host_busy",
        "ports_full",
        "teams_ports_full",
        "events_concurrent_full",
        "shadow",
    ):
        assert reason in last


async def test_check_says_what_is_in_a_catalogue() -> None:
    """The sample is valid, as text and as JSON."""
    ran, as_json = await run("check", str(SAMPLE)), await run("check", str(SAMPLE), "--json")

    assert (0, 0) == (ran.code, as_json.code)
    held = parse_catalogue(SAMPLE.read_bytes())
    count = sum(len(customer.subscriptions) for customer in held)
    assert f"{len(held)} customers with {count} subscriptions, no fault" in ran.out
    assert {"customers": len(held), "subscriptions": count} == json.loads(as_json.out)


async def test_check_names_every_fault_with_path_and_rule(tmp_path: Path) -> None:
    """Exit code 1, one line per fault."""
    file = tmp_path / "bad.yaml"
    host = "{id: room1@acme.example, given_name: A, family_name: B}"
    file.write_text(
        "customers: [{id: acme, name: Acme, domains: [acme.example], subscriptions: ["
        f"{{plan: meetings.named_host, term: {{from: 2026-01-01, to: 2026-12-31}}, quantity: 1, hosts: [{host}]}}]}},"
        " {id: globex, nam: Globex}]"
    )

    ran = await run("check", str(file))

    assert 1 == ran.code
    assert "$.customers[0].subscriptions[0].hosts[0]: is not an individual" in ran.err
    assert "[T2.4]" in ran.err
    assert "$.customers[1].name: is required" in ran.err
    assert "$.customers[1].nam: is not a known field" in ran.err


async def test_a_catalogue_is_applied_and_read_back_through_a_running_gateway(make_gateway: MakeGateway) -> None:
    """apply, list, usage and overage, as tables and as JSON."""
    url = (await make_gateway(env={"GATEWAY_NUMBER_KEY": "a key of this test, which is long enough"})).admin_url

    applied = await run("customers", "apply", str(SAMPLE), "--admin-url", url)
    listed = await run("customers", "list", "--json", GATEWAY_ADMIN_URL=url)
    table = await run("customers", "list", "--admin-url", url)
    usage = await run("usage", "acme", "--json", "--admin-url", url)
    usage_table = await run("usage", "acme", "--admin-url", url)
    overage = await run("overage", "acme", "--json", "--admin-url", url)

    assert [0] * 6 == [ran.code for ran in (applied, listed, table, usage, usage_table, overage)]
    held = sorted(customer.id for customer in parse_catalogue(SAMPLE.read_bytes()))
    assert held == [each["customer"] for each in json.loads(listed.out)]
    assert "meetings.named_host" in table.out
    assert "ports" == json.loads(usage.out)["pools"][0]["pool"]
    assert "committed" in usage_table.out
    assert {("ports", 0)} == {(row["pool"], row["peak"]) for row in json.loads(overage.out)["rows"]}


async def test_a_command_without_a_gateway_says_so() -> None:
    """Exit code 1 and one line, no trace."""
    ran = await run("usage", "acme", "--admin-url", "http://127.0.0.1:1")

    assert 1 == ran.code
    assert ran.err.startswith("no gateway answers at http://127.0.0.1:1")
    assert "Traceback" not in ran.err


async def test_an_unknown_customer_is_told_in_one_line(make_gateway: MakeGateway) -> None:
    """Exit code 1."""
    ran = await run("usage", "nobody", "--admin-url", (await make_gateway()).admin_url)

    assert (1, "No such thing: There is no such customer.\n") == (ran.code, ran.err)


async def test_events_and_findings_are_shown_as_tables_and_as_json(make_gateway: MakeGateway) -> None:
    """Exit code 0, with findings and without."""
    gateway = await make_gateway()
    people = People(gateway)
    await people.hold(corporate(id="corp"), per_event(id="events-2026"))
    admit = json_request("POST", "/v1/admit", join_data("a", meeting="e1", service="event"))
    assert 200 == (await send(gateway.url, admit)).status
    assert 201 == (await people.ask("PUT", "/v1/customers/globex", {"name": "Globex"})).status

    ran = {
        (command, customer, as_json): await run(command, customer, *as_json, "--admin-url", gateway.admin_url)
        for command in ("events", "compliance")
        for customer in ("acme", "globex")
        for as_json in ((), ("--json",))
    }

    assert {(0, "")} == {(each.code, each.err) for each in ran.values()}
    events = json.loads(ran["events", "acme", ("--json",)].out)["events"]
    assert [("e1", 1, "events-2026")] == [
        (each["event"], each["peak_attendees"], each["licensed_by"]) for each in events
    ]
    findings = json.loads(ran["compliance", "acme", ("--json",)].out)["findings"]
    assert {("T3.2", "corp")} == {(each["rule"], each["subject"]) for each in findings}
    assert "events-2026" in ran["events", "acme", ()].out
    assert findings[0]["due"] in ran["compliance", "acme", ()].out
    for command, name in (("events", "events"), ("compliance", "findings")):
        assert {"customer": "globex", name: []} == json.loads(ran[command, "globex", ("--json",)].out)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, "no key is configured; set GATEWAY_NUMBER_KEY or GATEWAY_NUMBER_KEY_FILE"),
        ({"GATEWAY_NUMBER_KEY": "short"}, "GATEWAY_NUMBER_KEY is too short"),
        ({"GATEWAY_NUMBER_KEY_FILE": "/nonexistent/key"}, "/nonexistent/key cannot be read"),
    ],
    ids=["no key", "too short", "no file"],
)
async def test_T21_1_serve_ends_with_2_where_numbers_cannot_be_hashed(
    store_url: str, tmp_path: Path, env: dict[str, str], told: str
) -> None:
    """A catalogue that blocks numbers needs a key, and a key that is given must be one; neither is shown."""
    file = tmp_path / "catalogue.json"
    file.write_text(
        json.dumps({"customers": [customer_data(ports(5), premium_calling(blocked_numbers=["+442079460958"]))]})
    )

    ran = await run("serve", "--port", "0", "--admin-port", "0", "--redis-url", store_url, "--catalogue", str(file), **env)

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith("gateway serve: ")
    assert told in ran.err
    assert not [secret for secret in ("2079460958", "short\n", "Traceback") if secret in ran.err]


async def test_T10_1_serve_refuses_a_catalogue_with_an_offer_that_another_customer_has(
    make_gateway: MakeGateway, store_url: str, tmp_path: Path
) -> None:
    """Exit code 1 and the fault; nothing of the catalogue is installed. The holder itself may stand in it."""
    people = People(await make_gateway())
    await people.hold(special_offer(company_group="Acme Group"))
    acme, globex = (customer_data(special_offer(company_group="acme group"), id=name) for name in ("acme", "globex"))
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"customers": [customer_data(ports(1), id="initech"), globex]}))

    ran = await run("serve", "--port", "0", "--admin-port", "0", "--redis-url", store_url, "--catalogue", str(file))

    assert (1, "") == (ran.code, ran.out)
    fault = "$.customers[1].subscriptions[0].company_group: has a special offer already, with another customer [T10.1]"
    assert f"{file}: {fault}" in ran.err
    assert ["acme"] == [each["customer"] for each in (await people.get("/v1/customers"))["customers"]]
    file.write_text(json.dumps({"customers": [acme]}))
    await make_gateway("--catalogue", str(file))


async def test_what_a_gateway_refuses_of_a_catalogue_that_is_applied_is_told(
    make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """Valid by itself, and refused by what the gateway knows: exit code 1, the fault with its rule."""
    gateway = await make_gateway()
    await People(gateway).hold(special_offer(company_group="Acme Group"))
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"customers": [customer_data(special_offer(company_group="Acme Group"), id="globex")]}))

    checked = await run("check", str(file))
    applied = await run("customers", "apply", str(file), "--admin-url", gateway.admin_url)

    assert (0, 1) == (checked.code, applied.code)
    assert "$.subscriptions[0].company_group: has a special offer already, with another customer [T10.1]" in applied.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "70000"),
        ("serve", "--log-level", "loud"),
        ("serve", "--redis-url", "http://127.0.0.1"),
        ("serve", "--no-such-option"),
        ("token", "create", "--scope", "everything"),
        ("customers", "fly"),
    ],
)
async def test_wrong_usage_ends_with_2_and_names_the_option(arguments: tuple[str, ...]) -> None:
    """No trace, and what is wrong is named."""
    ran = await run(*arguments)

    assert 2 == ran.code
    assert arguments[1].lstrip("-").replace("create", "--scope") in ran.err
    assert "Traceback" not in ran.err


async def test_a_catalogue_given_at_the_start_is_installed_once(make_gateway: MakeGateway, tmp_path: Path) -> None:
    """What was changed through the API since is kept at the next start."""
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"customers": [customer_data(ports(5))]}))
    first = await make_gateway("--catalogue", str(file))
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({"customers": [customer_data(ports(7))]}))
    assert 0 == (await run("customers", "apply", str(changed), "--admin-url", first.admin_url)).code
    await first.stop()

    second = await make_gateway("--catalogue", str(file))

    usage = json.loads((await run("usage", "acme", "--json", "--admin-url", second.admin_url)).out)
    assert 7 == usage["pools"][0]["committed"]


async def test_doctor_looks_at_everything_a_gateway_needs(tmp_path: Path, store_url: str) -> None:
    """Exit code 0 where a gateway can run, 1 where it cannot; the reason is in the table."""
    good = await run("doctor", "--json", "--data-dir", str(tmp_path))
    bad = await run("doctor", "--redis-url", "unix:///nonexistent.sock")
    plain = await run("doctor", "--redis-url", store_url, "--json")

    states = {each["check"]: each["state"] for each in json.loads(good.out)}
    assert (0, "ok", "ok") == (good.code, states["embedded redis"], states["data directory"])
    assert 1 == bad.code
    assert "fail" in bad.out
    found = {each["check"]: each["state"] for each in json.loads(plain.out)}
    assert (0, "ok", "warn") == (plain.code, found["redis maxmemory-policy"], found["redis appendonly"])


async def test_help_answers_at_once_and_lists_every_command() -> None:
    """The commands of the contract."""
    ran = await run("--help")

    assert 0 == ran.code
    for command in ("serve", "demo", "doctor", "check", "customers", "usage", "overage", "events", "compliance", "token"):
        assert f" {command} " in ran.out
