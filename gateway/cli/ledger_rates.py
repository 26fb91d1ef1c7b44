"""`gateway ledger rates`: rate cards of calling (T15.4)."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.client import Json
from gateway.cli.ledger_tables import Csv, DataDir, Ledger, LedgerUrl, at, tell_json, tell_rows


if TYPE_CHECKING:
    from gateway.domain.billing.rate_card import RateCard
    from gateway.domain.customer import Fault
    from gateway.ledger.database import Database
    from gateway.ledger.rate_cards import KeptCard

app = typer.Typer(help="Rate cards of calling.", no_args_is_help=True)

FILE_BYTES_MAX = 16 * 1024 * 1024
COLUMNS = (
    "id",
    "effective_from",
    "currency",
    "country",
    "calling",
    "number_class",
    "per_minute",
    "per_leg",
    "increment_s",
    "minimum_s",
)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="`rate_cards: [...]` in YAML or JSON.", metavar="FILE")],
    by: Annotated[str | None, typer.Option(help="Who gives them. [default: the user's name]")] = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Keep rate cards, all or none. A card that is kept is never changed: new rates are a card with a later `effective_from`."""
    ledger = Ledger("rates apply", ledger_url, data_dir)
    cards = _cards_of(ledger, file)
    from gateway.domain.billing.rate_card import RateCardsInvalid  # noqa: PLC0415 - keeps `gateway --help` fast
    from gateway.ledger.rate_cards import RateCards  # noqa: PLC0415

    async def work(database: "Database") -> list[bool]:
        return await RateCards(database).apply(cards, by or _user(), ledger.now_ms)

    try:
        new = ledger.read(work)
    except RateCardsInvalid as error:
        raise _tell_faults(ledger, file, error.faults) from None
    for card, is_new in zip(cards, new, strict=True):
        typer.echo(f"{card.id} from {card.effective_from}: {'kept' if is_new else 'was kept before'}")


@app.command("list")
def list_cards(
    ledger_url: LedgerUrl = None, data_dir: DataDir = None, as_json: Json = False, as_csv: Csv = False
) -> None:
    """All rates, by card and first day."""
    ledger = Ledger("rates list", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    from gateway.ledger.rate_cards import RateCards, card_document  # noqa: PLC0415

    async def work(database: "Database") -> list["KeptCard"]:
        return await RateCards(database).kept()

    kept = ledger.read(work)
    documents: list[dict[str, Any]] = [
        {**card_document(each.card), "by": each.by, "at": at(each.at_ms)} for each in kept
    ]
    if as_json:
        tell_json({"rate_cards": documents})
        return
    rows = [
        [{**card, **rate}[column] for column in COLUMNS] for card in documents for rate in card["rates"] or [_no_rate()]
    ]
    tell_rows(COLUMNS, rows, as_csv=as_csv)


def _cards_of(ledger: Ledger, file: Path) -> "tuple[RateCard, ...]":
    from gateway.domain.billing.rate_card import RateCardsInvalid, parse_rate_cards  # noqa: PLC0415
    from gateway.domain.documents import DocumentError, read_document  # noqa: PLC0415

    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ledger.failed(f"{file}: is larger than {FILE_BYTES_MAX} bytes")
        return parse_rate_cards(read_document(file.read_bytes()))
    except OSError as error:
        raise ledger.failed(f"{file}: {error.strerror}") from None
    except DocumentError as error:
        raise ledger.failed(f"{file}: {error}") from None
    except RateCardsInvalid as error:
        raise _tell_faults(ledger, file, error.faults) from None


def _tell_faults(ledger: Ledger, file: Path, faults: "tuple[Fault, ...]") -> typer.Exit:
    for fault in faults:
        typer.echo(f"{file}: {fault.path}: {fault.message}{f' [{fault.rule}]' if fault.rule else ''}", err=True)
    return ledger.failed(f"{file}: nothing was kept")


def _no_rate() -> dict[str, None]:
    return dict.fromkeys(COLUMNS[3:])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id
        return "unknown"
