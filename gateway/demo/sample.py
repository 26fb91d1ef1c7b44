"""The sample catalogue as `gateway demo` loads it: orders that run by the year are moved to the present, so that the demo works in any year."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from gateway.domain.catalogue import Customer, parse_catalogue
from gateway.domain.documents import read_document


PATH = Path(__file__).with_name("catalogue.yaml")


def sample(today: dt.date) -> list[Customer]:
    """The customers of the sample on a Pacific day.

    A special offer lasts 12 months (T10.1), and counts are certified for every year (T3.2); such orders are moved by whole years, so that the
    day lies in the first year of their terms.
    """
    document: Any = read_document(PATH.read_bytes())
    for customer in document["customers"]:
        customer["subscriptions"] = [_present(order, today) for order in customer["subscriptions"]]
    return parse_catalogue(json.dumps(document))


def _present(order: dict[str, Any], today: dt.date) -> Any:
    if "signed_on" not in order and "certifications" not in order:
        return order
    first = dt.date.fromisoformat(order["term"]["from"])
    years = today.year - first.year - ((today.month, today.day) < (first.month, first.day))
    return _moved(order, years)


def _moved(value: Any, years: int) -> Any:
    """The same plain data with every date in it moved."""
    if isinstance(value, dict):
        return {name: _moved(each, years) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, years) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        date = dt.date.fromisoformat(value)
        return str(date.replace(year=date.year + years))
    return value
