"""The scripts keep the contract that their headers state."""

import re

import pytest

from gateway.kernel import scripts
from gateway.kernel.keys import BUCKET_KEYS, CUSTOMER_KEYS, NODE_KEYS


LOADED = scripts.load()


@pytest.mark.parametrize("name", scripts.OPERATIONS)
def test_a_script_declares_its_flags_its_keys_and_its_answers(name: str) -> None:
    """Every script begins with `#!lua`, names known keys in order, and lists what it answers."""
    script = LOADED[name]
    text = script.source.decode()

    assert text.startswith("#!lua")
    assert set(script.keys) <= {*BUCKET_KEYS, *CUSTOMER_KEYS, *NODE_KEYS}
    assert list(range(1, len(script.keys) + 1)) == [
        int(number) for number in re.findall(r"^-- KEYS\[(\d+)\]", text, re.MULTILINE)
    ]
    assert "-- Answers" in text
    assert "-- @include" not in text, "every fragment was found"


@pytest.mark.parametrize("name", scripts.OPERATIONS)
def test_a_script_uses_every_key_that_it_declares_and_no_other(name: str) -> None:
    """KEYS in the code are KEYS of the header."""
    code = re.sub(r"--.*", "", LOADED[name].source.decode())

    keys = set(range(1, len(LOADED[name].keys) + 1))
    assert keys == {int(number) for number in re.findall(r"KEYS\[(\d+)\]", code)}


@pytest.mark.parametrize("name", scripts.OPERATIONS)
def test_a_script_has_no_unbounded_command(name: str) -> None:
    """No KEYS, no SCAN, no FLUSH; and the whole of a hash or set is read only by the operations that are not on the hot path."""
    called = set(re.findall(r"redis\.call\('(\w+)'", LOADED[name].source.decode()))

    assert not called & {"KEYS", "SCAN", "FLUSHDB", "FLUSHALL"}
    if name in {"admit", "preview", "release", "snapshot", "install"}:
        assert not called & {"HGETALL", "HKEYS", "HVALS", "SMEMBERS", "HSCAN", "ZRANGE"}


def test_operations_that_free_seats_run_when_memory_is_short() -> None:
    """A full store must be able to empty itself; one that only reads must never be refused."""
    flags = {name: script.source.decode().partition("\n")[0] for name, script in LOADED.items()}

    freeing = {
        "release", "renew", "confirm", "lapsed", "sweep", "epoch", "recovered", "beat", "present", "assert", "roll", "repair", "remind", "trim",
    }  # fmt: skip
    assert freeing == {name for name, line in flags.items() if "allow-oom" in line}
    assert {"preview", "entitlements", "snapshot", "dump"} == {
        name for name, line in flags.items() if "no-writes" in line
    }


def test_every_operation_has_a_file_and_every_file_is_an_operation() -> None:
    """Nothing lies beside the list of operations."""
    files = {entry.name.removesuffix(".lua") for entry in scripts.folder().iterdir() if entry.name.endswith(".lua")}

    assert set(scripts.OPERATIONS) == files
