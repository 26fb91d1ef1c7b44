"""The Lua scripts, one file per operation. A script's header is its contract: the names of its keys are read from there."""

import functools
import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from importlib.resources.abc import Traversable


OPERATIONS = (
    "admit", "preview", "move", "confirm", "release", "renew", "lapsed", "sweep", "epoch", "recovered", "beat", "present",
    "install", "assert", "entitlements", "roll", "snapshot", "dump", "repair", "remind", "trim", "rename",
)  # fmt: skip


INCLUDE = re.compile(r"^ *-- @include (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One operation: its text as Redis gets it, and the names of the keys that it declares."""

    name: str
    source: bytes
    sha: bytes
    keys: tuple[str, ...]


def folder() -> Traversable:
    """Where the scripts lie."""
    return importlib.resources.files("gateway.kernel") / "lua"


def load(clock: str | None = None) -> dict[str, Script]:
    """All scripts. `clock` replaces the fragment that reads the time; only tests, which control time, give one."""
    return {name: _load(name, clock) for name in OPERATIONS}


@functools.lru_cache(maxsize=64)
def _load(name: str, clock: str | None) -> Script:
    text = (folder() / f"{name}.lua").read_text(encoding="utf-8")
    keys = tuple(re.findall(r"^-- KEYS\[\d+\] (\w+)", text, re.MULTILINE))

    def fragment(match: re.Match[str]) -> str:
        if match[1] == "clock" and clock is not None:
            return clock
        return (folder() / "include" / f"{match[1]}.lua").read_text(encoding="utf-8")

    while INCLUDE.search(text):  # fragments include others
        text = INCLUDE.sub(fragment, text)
    source = text.encode()
    return Script(name, source, hashlib.sha1(source).hexdigest().encode(), keys)  # noqa: S324 - it is how Redis names scripts
