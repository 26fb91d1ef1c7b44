"""Rules, code and tests name each other: what the code claims is proved, what is written down is carried, and the page says so."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


ROOT = Path(__file__).resolve().parents[2]
KNOWN = ("T4.1", "T4.2", "T4.3", "T4.4", "T8.1", "T11.1", "T11.2")


def load_generator() -> Any:
    """The script that makes the page, as a module; `docs` is no package."""
    spec = importlib.util.spec_from_file_location("generate_rules", ROOT / "docs" / "generate_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rules = load_generator()
BOOK = rules.read_book()
FOUND = rules.survey(ROOT, BOOK.rules)


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """A small project with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def small_book(*, planned: str | None = None) -> Any:
    """Two rules of one group; the second may be planned."""
    first, second = rules.Rule("T4.1", "All legs count."), rules.Rule("T4.2", "Each counts one.", planned)
    return rules.Book({"day": "Pacific."}, (rules.Group(("T4",), "Ports", ("meetings.ports",), (first, second)),))


def test_every_rule_that_code_claims_is_proved_by_a_test_named_after_it() -> None:
    """A claim without a test is an opinion."""
    unproved = rules.unproved(FOUND)

    assert FOUND.claims
    assert [] == unproved, "\n".join(unproved)


def test_every_id_in_code_and_tests_exists() -> None:
    """Names and docstrings point at rules that are written down."""
    unknown = rules.unknown(FOUND, BOOK)

    assert [] == unknown, "\n".join(unknown)


def test_every_rule_that_is_not_planned_is_carried_by_a_module() -> None:
    """Nothing is promised that no code claims."""
    uncarried = rules.uncarried(FOUND, BOOK)

    assert [] == uncarried, "\n".join(uncarried)


def test_the_page_is_current() -> None:
    """`docs/rules.md` is what `python docs/generate_rules.py` writes now."""
    assert 0 == rules.main(["--check"])


def test_ids_stand_in_order_without_gaps_in_their_groups() -> None:
    """T1 to T21, each numbered from 1, each rule with a statement of its own."""
    groups = [name for group in BOOK.groups for name in group.ids]
    ids = [rule.id for group in BOOK.groups for rule in group.rules]
    counted = {name: [rule for rule in ids if rule.startswith(f"{name}.")] for name in groups}
    statements = [rule.statement for rule in BOOK.rules.values()]

    assert [f"T{number}" for number in range(1, 22)] == groups
    assert ids == [f"{name}.{number}" for name in groups for number in range(1, len(counted[name]) + 1)]
    assert len(ids) == len(set(ids)) == len(set(statements))
    assert all(statement.endswith(".") for statement in statements)


def test_planned_rules_wait_for_a_part_that_is_not_built() -> None:
    """The ledger is the only such part."""
    assert {"ledger"} == {rule.planned for rule in BOOK.rules.values() if rule.planned is not None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a paid seat (T4.3)", {"T4.3"}),
        ("T4.1, T8.1: counted together", {"T4.1", "T8.1"}),
        ("T4.1 and T4.3.", {"T4.1", "T4.3"}),
        ("T4.1 - T4.3", {"T4.1", "T4.2", "T4.3"}),
        ("T4.1-T4.3", {"T4.1", "T4.2", "T4.3"}),
        ("T4.1 \u2013 T4.3", {"T4.1", "T4.2", "T4.3"}),
        ("T4.1 to T4.3", {"T4.1", "T4.2", "T4.3"}),
        ("T4.1 -\n    T4.3", {"T4.1", "T4.2", "T4.3"}),
        ("T4.1\n- T4.3: a list", {"T4.1", "T4.3"}),
        ("T11.1 - T11.4", {"T11.1", "T11.2", "T11.4"}),
        ("T4.4 - T8.1", {"T4.4", "T8.1"}),
        ("T4.3 - T4.1", {"T4.1", "T4.3"}),
        ("the plan T4, and T8 beside it", set()),
        ("T99.1", {"T99.1"}),
        ("VAT4.1 and T4.1x", set()),
    ],
)
def test_ids_are_found_in_text(text: str, expected: set[str]) -> None:
    """Lists and ranges count, a group alone claims nothing, and an id that does not exist is found as it is written."""
    assert expected == rules.ids_in(text, KNOWN)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_T4_2_paired_endpoints_are_two_connections", ("T4.2",)),
        ("test_T2_3_T2_6_limits_of_a_meeting", ("T2.3", "T2.6")),
        ("test_T12_1_of_20_events_one_goes_live", ("T12.1",)),
        ("test_T4_1", ("T4.1",)),
        ("test_T1_T2_any_sequence", ("T1", "T2")),
        ("test_T4_T8_1_a_group_and_a_rule", ("T4", "T8.1")),
        ("test_T4_1st_of_the_month", ("T4",)),
        ("test_a_leg_that_T4_2_counts", ()),
        ("test_Times_are_not_ids", ()),
    ],
)
def test_ids_are_found_at_the_beginning_of_a_name(name: str, expected: tuple[str, ...]) -> None:
    """One id, several, or a group as a whole; an id elsewhere in the name proves nothing."""
    assert expected == rules.ids_of_name(name)


def test_docstrings_claim_and_other_text_does_not() -> None:
    """Docstrings of modules, classes, functions and attributes are read; comments and other strings are not."""
    source = '''
"""module"""

LIMIT = 100  # a comment
"""limit"""

class Plan:
    """class"""

    quantity: int = 1
    """quantity"""

    async def license(self):
        """method"""
        message = "a value"
        return message

    def other(self):
        "one line"
        "a string behind a string"


def function(one, text="default"):
    """function"""
    if one:
        """in a branch"""
    raise ValueError("an argument")
    """behind a statement"""
'''

    expected = ["module", "limit", "class", "quantity", "method", "one line", "function"]
    assert sorted(expected) == sorted(rules.docstrings(source))


def test_the_head_of_a_script_claims_and_the_rest_does_not() -> None:
    """The comment ends with the first line that is none."""
    assert "#!lua\n-- admit (T4.1)" == rules.head_comment("#!lua\n-- admit (T4.1)\n\nlocal x = 1  -- T4.2\n-- T4.3\n")


def test_tests_are_functions_and_methods_that_pytest_collects() -> None:
    """Helpers, inner functions and methods of other classes prove nothing."""
    source = """
def test_one(): ...
async def test_two():
    def test_inner(): ...
def helper(): ...
class TestThese:
    def test_three(self): ...
class Helper:
    def test_never_run(self): ...
"""

    assert ["test_one", "test_two", "test_three"] == list(rules.names_of_tests(source))


def test_a_claim_without_a_test_is_found(tmp_path: Path) -> None:
    """Neither the test of a whole group, nor a docstring, nor a helper outside test modules stands for a test of the rule."""
    found = rules.survey(
        tree(
            tmp_path,
            {
                "gateway/a.py": '"""T4.1, T4.2."""',
                "gateway/b/c.py": "class C:\n    seats = 1\n    '''T4.2 and T11.1'''\n",
                "gateway/kernel/d.lua": "#!lua\n-- d (T4.3)\n",
                "tests/unit/test_a.py": 'def test_T4_1_counts():\n    """T4.2"""\ndef test_T4_in_general(): ...\n',
                "tests/support.py": "def test_T4_3_never_run(): ...\n",
            },
        ),
        KNOWN,
    )

    expected = ["T4.2: gateway/a.py, gateway/b/c.py", "T4.3: gateway/kernel/d.lua", "T11.1: gateway/b/c.py"]
    assert expected == rules.unproved(found)


def test_an_id_that_does_not_exist_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """In a docstring of the code, in the name of a test, in a docstring of a test; a group that does not exist too."""
    found = rules.survey(
        tree(
            tmp_path,
            {
                "gateway/a.py": '"""T4.1, T4.8."""',
                "tests/test_a.py": 'def test_T4_9_T4_counts():\n    """T7.1"""\ndef test_T9_in_general(): ...\n',
            },
        ),
        small_book().rules,
    )

    expected = ["T4.8: gateway/a.py", "T4.9: tests/test_a.py", "T7.1: tests/test_a.py", "T9: tests/test_a.py"]
    assert sorted(expected) == sorted(rules.unknown(found, small_book()))


def test_a_rule_that_no_module_carries_is_found_unless_it_is_planned(tmp_path: Path) -> None:
    """A comment is no claim."""
    found = rules.survey(tree(tmp_path, {"gateway/a.py": '"""T4.1."""\n# T4.2\n'}), KNOWN)

    assert ["T4.2"] == rules.uncarried(found, small_book())
    assert [] == rules.uncarried(found, small_book(planned="ledger"))


def test_the_page_links_rules_to_modules_and_tests(tmp_path: Path) -> None:
    """Each rule has an anchor, its statement, the modules, and the tests by module; a planned one says so."""
    found = rules.survey(
        tree(
            tmp_path,
            {
                "gateway/domain/b.py": '"""T4.1"""',
                "gateway/a.py": '"""T4.1"""',
                "tests/unit/test_a.py": "def test_T4_1_one(): ...\ndef test_T4_1_two(): ...\ndef test_T4_all(): ...\n",
            },
        ),
        KNOWN,
    )
    expected = """\
## <a id="T4"></a>T4 Ports

Plans: `meetings.ports`

Proved as a whole by [unit/test_a.py](../tests/unit/test_a.py): `test_T4_all`

### <a id="T4.1"></a>T4.1

All legs count.

- *Carried by* [a.py](../gateway/a.py), [domain/b.py](../gateway/domain/b.py)
- *Proved by* [unit/test_a.py](../tests/unit/test_a.py): `test_T4_1_one`, `test_T4_1_two`

### <a id="T4.2"></a>T4.2

Each counts one.

- *Planned*: comes with the ledger
"""

    assert rules.page(small_book(planned="ledger"), found).endswith(f"\n\n{expected}")


def test_the_check_fails_until_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that is missing or edited by hand is not current; one just written is."""
    monkeypatch.setattr(rules, "PAGE", tmp_path / "rules.md")

    assert 1 == rules.main(["--check"])
    assert 0 == rules.main([])
    assert 0 == rules.main(["--check"])
    rules.PAGE.write_text(rules.PAGE.read_text(encoding="utf-8") + "edited\n", encoding="utf-8")
    assert 1 == rules.main(["--check"])
    assert 2 == rules.main(["--other"])
    assert "usage" in capsys.readouterr().err
