#!/usr/bin/env python3
"""Makes `rules.md`: each rule in the project's words, the modules that carry it, the tests that prove it.

Words come from `rules.toml`. Which module carries a rule is read from the docstrings of the gateway (of modules, classes, functions and
attributes) and from the comment at the head of each Lua script; comments elsewhere claim nothing. Which test proves it is read from the names
of the tests. `generate_rules.py` writes the page, `generate_rules.py --check` fails when the page is not what would be written.
"""

import ast
import itertools
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple


DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGE = DOCS / "rules.md"

MENTION = re.compile(r"\bT(\d+)\.(\d+)(?: *(?:[-\u2013]|to )\s*T(\d+)\.(\d+))?\b")
"""An id, or a range of ids. A dash that begins a line is a list's, and makes no range."""
NAMED = re.compile(r"T(\d+)(?:_(\d+))?(?:_|$)")
"""An id at the beginning of a test's name: `T4_2`, or `T4` for a group."""

HEAD = """\
# The rules, where they are carried, and what proves them

Made by `python docs/generate_rules.py` from [rules.toml](rules.toml), the code and the tests; not to be edited by hand.

Each rule has an id that never changes. Code that carries a rule names the id in its docstring, and a test that proves it has the id in its
name, so that one can go from a rule to the line and back: *Carried by* lists the modules, *Proved by* the tests (a test with many parameters is
listed once). The statements say what the gateway does; what a customer has agreed to is in its contract.

`tests/unit/test_rules.py` fails when code claims a rule that no test proves, when a rule is carried nowhere, when an id does not exist, and
when this page is not current.
"""


class Rule(NamedTuple):
    """One rule. `planned` names the part of the product that will bring it; None: it is built."""

    id: str
    statement: str
    planned: str | None = None


class Group(NamedTuple):
    """Rules of one chapter: ids such as `T13`, `T14`; the plans that it describes."""

    ids: tuple[str, ...]
    title: str
    plans: tuple[str, ...]
    rules: tuple[Rule, ...]


class Book(NamedTuple):
    """All rules, with the words that they use."""

    words: Mapping[str, str]
    groups: tuple[Group, ...]

    @property
    def rules(self) -> dict[str, Rule]:
        """All rules by id, in order."""
        return {rule.id: rule for group in self.groups for rule in group.rules}


class Survey(NamedTuple):
    """What was found in a tree; paths are relative to its root, with `/`."""

    claims: Mapping[str, tuple[str, ...]]
    """Id -> modules whose docstrings name it."""
    tests: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Id, or id of a group -> module -> names of tests."""
    mentions: Mapping[str, tuple[str, ...]]
    """Id -> test modules whose docstrings name it."""


def read_book(path: Path = DOCS / "rules.toml") -> Book:
    """The rules as they are written down; line breaks within a statement mean nothing."""

    def rule(entry: Mapping[str, Any]) -> Rule:
        return Rule(entry["id"], _one_line(entry["statement"]), entry.get("planned"))

    data = tomllib.loads(path.read_text(encoding="utf-8"))
    groups = [
        Group(tuple(entry["ids"]), entry["title"], tuple(entry.get("plans", ())), tuple(map(rule, entry["rules"])))
        for entry in data["groups"]
    ]
    return Book({word: _one_line(meaning) for word, meaning in data["words"].items()}, tuple(groups))


def docstrings(source: str) -> Iterator[str]:
    """Docstrings of the module and of its classes and functions, and strings that stand directly behind an assignment."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        described = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for before, statement in itertools.pairwise([None, *body]):
            at_head = before is None and described
            if (at_head or isinstance(before, ast.Assign | ast.AnnAssign)) and (text := _string(statement)) is not None:
                yield text


def head_comment(source: str) -> str:
    """The comment lines with which a Lua script begins."""
    return "\n".join(itertools.takewhile(lambda line: line.startswith(("#!", "--")), source.splitlines()))


def ids_in(text: str, known: Iterable[str]) -> set[str]:
    """Ids that a text names, known or not; a range within a group stands for its known members."""
    found: set[str] = set()
    for match in MENTION.finditer(text):
        group, first, last_group, last = match.groups()
        found.add(f"T{group}.{first}")
        if last is not None:
            found.add(f"T{last_group}.{last}")
        if last is not None and group == last_group:
            members = {f"T{group}.{number}" for number in range(int(first), int(last) + 1)}
            found |= members & set(known)
    return found


def names_of_tests(source: str) -> Iterator[str]:
    """Names of the tests of a module, each once: functions, and methods of classes whose names begin with `Test`."""
    for node in ast.parse(source).body:
        inner = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        for statement in inner:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name.startswith("test_"):
                yield statement.name


def ids_of_name(name: str) -> tuple[str, ...]:
    """Ids at the beginning of a test's name: `test_T2_3_T2_6_...` proves two rules, `test_T4_...` a group as a whole and no rule."""
    found: list[str] = []
    rest = name.removeprefix("test_")
    while match := NAMED.match(rest):
        group, number = match.groups()
        found.append(f"T{group}" if number is None else f"T{group}.{number}")
        rest = rest[match.end() :]
    return tuple(found)


def survey(root: Path, known: Iterable[str]) -> Survey:
    """Reads the code under `gateway/` and the tests under `tests/` (modules that pytest collects: `test_*.py`)."""
    known = set(known)
    claims: dict[str, list[str]] = defaultdict(list)
    tests: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    mentions: dict[str, list[str]] = defaultdict(list)
    for path, source in _sources(root, "gateway", "*.py"):
        for name in ids_in("\n\n".join(docstrings(source)), known):
            claims[name].append(path)
    for path, source in _sources(root, "gateway", "*.lua"):
        for name in ids_in(head_comment(source), known):
            claims[name].append(path)
    for path, source in _sources(root, "tests", "test_*.py"):
        for name in ids_in("\n\n".join(docstrings(source)), known):
            mentions[name].append(path)
        for test in names_of_tests(source):
            for name in ids_of_name(test):
                tests[name][path].append(test)
    return Survey(
        {name: tuple(paths) for name, paths in claims.items()},
        {name: {path: tuple(names) for path, names in found.items()} for name, found in tests.items()},
        {name: tuple(paths) for name, paths in mentions.items()},
    )


def unproved(found: Survey) -> list[str]:
    """Ids that code claims and no test has in its name, with the modules that claim them."""
    missing = sorted(found.claims.keys() - found.tests.keys(), key=_position)
    return [f"{name}: {', '.join(found.claims[name])}" for name in missing]


def unknown(found: Survey, book: Book) -> list[str]:
    """Ids that code or tests name and that do not exist, with where they stand."""
    exist = book.rules.keys() | {name for group in book.groups for name in group.ids}
    places: dict[str, set[str]] = defaultdict(set)
    for named in (found.claims, found.tests, found.mentions):
        for name in named.keys() - exist:
            places[name].update(named[name])
    return [f"{name}: {', '.join(sorted(places[name]))}" for name in sorted(places, key=_position)]


def uncarried(found: Survey, book: Book) -> list[str]:
    """Rules that are built by their own account, and that no module claims."""
    return [rule.id for rule in book.rules.values() if rule.planned is None and rule.id not in found.claims]


def page(book: Book, found: Survey) -> str:
    """The page as Markdown."""
    lines = [HEAD, "## Words", ""]
    lines += [f"- **{word}**: {meaning}" for word, meaning in book.words.items()]
    lines += ["", "## Contents", ""]
    lines += [f"- [{', '.join(group.ids)} {group.title}](#{group.ids[0]})" for group in book.groups]
    for group in book.groups:
        lines += ["", *_group(group, found)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the page, or with `--check` compares it; the exit code: 0 done, 1 not current, 2 usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: generate_rules.py [--check]\n")
        return 2
    book = read_book()
    text = page(book, survey(ROOT, book.rules))
    if not arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or text != PAGE.read_text(encoding="utf-8"):
        sys.stderr.write("docs/rules.md is not current; python docs/generate_rules.py writes it\n")
        return 1
    return 0


def _group(group: Group, found: Survey) -> Iterator[str]:
    anchors = "".join(f'<a id="{name}"></a>' for name in group.ids)
    yield f"## {anchors}{', '.join(group.ids)} {group.title}"
    if group.plans:
        yield ""
        yield "Plans: " + ", ".join(f"`{plan}`" for plan in group.plans)
    together: dict[str, tuple[str, ...]] = {}
    for name in group.ids:
        together |= found.tests.get(name, {})
    if together:
        yield ""
        yield f"Proved as a whole by {_tests(together)}"
    for rule in group.rules:
        yield ""
        yield from _rule(rule, found)


def _rule(rule: Rule, found: Survey) -> Iterator[str]:
    modules, tests = found.claims.get(rule.id, ()), found.tests.get(rule.id, {})
    yield f'### <a id="{rule.id}"></a>{rule.id}'
    yield ""
    yield rule.statement
    yield ""
    if rule.planned is not None:
        yield f"- *Planned*: comes with the {rule.planned}"
    carried = ", ".join(_link(module) for module in modules)
    if carried or rule.planned is None:
        yield f"- *{'Carried' if rule.planned is None else 'Prepared'} by* {carried or 'nothing yet'}"
    if tests or rule.planned is None:
        yield f"- *{'Proved by' if rule.planned is None else 'Tests so far'}* {_tests(tests) or 'nothing yet'}"


def _tests(tests: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{_link(path)}: " + ", ".join(f"`{name}`" for name in names) for path, names in tests.items())


def _link(path: str) -> str:
    return f"[{PurePosixPath(*PurePosixPath(path).parts[1:])}](../{path})"


def _sources(root: Path, folder: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Files in the order of their paths, each with its text."""
    for path in sorted((root / folder).rglob(pattern), key=lambda found: found.relative_to(root).as_posix()):
        yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def _string(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else None
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _position(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.removeprefix("T").split(".")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
