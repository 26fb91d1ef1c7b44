"""Reading YAML and JSON that people wrote: whatever is wrong becomes one error, and nothing takes the reader down.

PyYAML alone would let a field that is given twice take the place of the first, overflow the stack of its C part on deep nesting, and end in any
kind of exception on a tag that does not fit its value.
"""

import json
from typing import Any

import yaml


DEPTH_MAX = 32


class DocumentError(ValueError):
    """A document that cannot be read; says why."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # libyaml is an optional part of PyYAML
    """A safe loader that leaves dates as text, so that a wrong one is a fault with a path, and refuses a field given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each of its fields once."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        _refuse_repeated(names)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def read_document(text: bytes | str) -> object:
    """The plain data of a document in YAML or JSON. Raises DocumentError."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise DocumentError("is not UTF-8 text") from None
    try:
        if decoded.lstrip().startswith("{"):
            # Most likely JSON, and read as such a hundred times faster. YAML in braces is read below.
            return json.loads(decoded, object_pairs_hook=_once)
    except DocumentError:
        raise
    except (ValueError, RecursionError):
        pass
    try:
        _refuse_deep(decoded)
        return yaml.load(decoded, Loader=_Loader)  # noqa: S506 - a safe loader
    except DocumentError:
        raise
    except Exception as error:  # noqa: BLE001 - a tag that does not fit its value raises whatever its constructor meets
        raise DocumentError(f"is neither YAML nor JSON: {str(error) or type(error).__name__}") from None


def _refuse_deep(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise DocumentError(f"is nested deeper than {DEPTH_MAX} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated([name for name, _ in pairs])
    return dict(pairs)


def _refuse_repeated(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            shown = name if name.isidentifier() else "?"  # what is no field's name may be a telephone number (T21.1)
            raise DocumentError(f"has the field {shown} twice in one place")
        seen.add(name)
