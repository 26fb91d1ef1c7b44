"""Settings of a process: one frozen object, from options, `GATEWAY_...` variables and defaults, in this order."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


if TYPE_CHECKING:
    from sqlalchemy.engine import URL

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PORT_MAX = 65535
NO_LEDGER = "none"


def _names_a_store(url: str) -> str:
    from gateway.kernel.store import check_url  # noqa: PLC0415 - heavy, and only some commands have a URL

    check_url(url)
    return url


def _names_a_database(url: str) -> str:
    from gateway.ledger.database import ledger_url  # noqa: PLC0415 - heavy, and rarely given

    ledger_url(url, Path())
    return url


def _names_an_endpoint(url: str) -> str:
    from gateway.ledger.webhook import checked_url  # noqa: PLC0415 - heavy, and rarely given

    checked_url(url)
    return url


RedisUrl = Annotated[str, AfterValidator(_names_a_store)]
LedgerUrl = Annotated[str, AfterValidator(_names_a_database)]
WebhookUrl = Annotated[str, AfterValidator(_names_an_endpoint)]
Port = Annotated[int, Field(ge=0, le=PORT_MAX)]


class Settings(BaseSettings):
    """What `gateway serve` runs with. Units stand in the names."""

    # What is wrong with a value is said without the value: some are secret.
    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore", hide_input_in_errors=True)

    catalogue: Path | None = None
    host: str = "127.0.0.1"
    port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9090
    redis_url: RedisUrl | None = None
    data_dir: Path = Path("gateway-data")
    tokens_file: Path | None = None
    number_key: SecretStr | None = None
    """Hashes telephone numbers (T21.1); at least 32 characters. No option of the command line, which others can see."""
    number_key_file: Path | None = None
    """Holds the key instead."""
    ledger_url: LedgerUrl | None = None
    """Of the ledger's database; left out, it is a file in the data directory; `none`: there is no ledger."""
    outbox_max: Annotated[int, Field(ge=10_000, le=100_000_000)] = 1_000_000
    """Entries of each outbox (there are 64) that may wait for the ledger. At half of it denials are only tallied, at it admits are refused."""
    webhook_url: WebhookUrl | None = None
    """Is told of thresholds and findings."""
    webhook_secret: SecretStr | None = None
    """Signs what it is told. No option of the command line, which others can see."""
    webhook_secret_file: Path | None = None
    """Holds the secret instead."""
    decision_budget_ms: Annotated[int, Field(ge=10, le=10_000)] = 150
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_customers_max: Annotated[int, Field(ge=0, le=10_000)] = 200
    drain_s: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 5.0
    """How long a gateway that was told to stop still takes connections, while it says that it is not ready."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share the port; worker n has its admin listener on `admin_port` + n, or on a free port where that is 0."""
    worker: Annotated[int, Field(ge=0, le=63)] = 0
    """Which of them this process is. Set by the process that starts the workers, as is `listen_fds`."""
    listen_fds: tuple[int, ...] = ()
    """Inherited sockets to listen on for admission, instead of `host` and `port`."""

    @field_validator("workers")
    @classmethod
    def _has_ports(cls, workers: int, info: ValidationInfo) -> int:
        admin_port = info.data.get("admin_port", 0)
        if admin_port and admin_port + workers - 1 > PORT_MAX:
            raise ValueError(f"{workers} admin listeners from port {admin_port} on would pass port {PORT_MAX}")
        return workers

    @model_validator(mode="after")
    def _signs_what_it_tells(self) -> Self:
        if self.webhook_url is not None:
            from gateway.ledger.webhook import signing_key  # noqa: PLC0415 - as above

            try:
                signing_key(self.signing_secret)
            except ValueError as error:
                raise ValueError(f"the secret of the webhook {error}") from None
        return self

    @property
    def signing_secret(self) -> str:
        """What notices are signed with. Raises ValueError where there is none, or its file cannot be read."""
        if self.webhook_secret is not None:
            return self.webhook_secret.get_secret_value()
        if self.webhook_secret_file is None:
            raise ValueError("is missing: GATEWAY_WEBHOOK_SECRET, or GATEWAY_WEBHOOK_SECRET_FILE")
        try:
            return self.webhook_secret_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read from {self.webhook_secret_file}: {error}") from None

    @property
    def tokens(self) -> Path:
        """Where the hashes of tokens are kept."""
        return self.tokens_file or self.data_dir / "tokens.json"

    @property
    def has_ledger(self) -> bool:
        """Whether what happens is kept beyond the store."""
        return self.ledger_url != NO_LEDGER

    @property
    def ledger(self) -> "URL | None":
        """The database of the ledger; None: there is no ledger."""
        from gateway.ledger.database import ledger_url  # noqa: PLC0415 - heavy, and not every command needs it

        return ledger_url(self.ledger_url, self.data_dir)

    @property
    def is_supervised(self) -> bool:
        """Whether another process starts and ends this one, as a worker of several."""
        return bool(self.listen_fds)

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether somebody on another machine could call."""
        return not {self.host, self.admin_host} <= LOOPBACK
