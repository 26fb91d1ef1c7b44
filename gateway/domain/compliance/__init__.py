"""Compliance: what a customer does that its terms do not foresee. A finding never refuses a join.

`findings` is pure: it looks at the record, the day and what was observed. Findings about a subscription are made while it is in force; what was
missing in an ended term is history. The rules are in `counts` (people against certified counts) and `use` (what connections were used for).
"""

import datetime as dt

from gateway.domain.compliance.counts import count_findings
from gateway.domain.compliance.finding import Finding, Observed
from gateway.domain.compliance.use import use_findings
from gateway.domain.record import Record


__all__ = ["Finding", "Observed", "findings"]


def findings(record: Record, today: dt.date, observed: Observed) -> list[Finding]:
    """All findings of a customer on a Pacific day, in the order of rules, then of time; none where there is no customer (any more)."""
    if record.customer is None:
        return []
    found = [
        *count_findings(record.customer, record.history, today, observed),
        *use_findings(record.customer, record.history, today, observed),
    ]
    return sorted(found, key=lambda finding: (_rank(finding.rule), finding.since, finding.subject, finding.detail))


def _rank(rule: str) -> tuple[int, ...]:
    # T10.3 comes after T4.5.
    return tuple([int(part) for part in rule.removeprefix("T").split(".")])
