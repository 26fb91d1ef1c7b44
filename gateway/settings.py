"""Settings of a process: one frozen object, from options, `GATEWAY_...` variables and defaults, in this order."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _redis_scheme(url: str) -> str:
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("begins with redis://, rediss:// or unix://")
    return url


RedisUrl = Annotated[str, AfterValidator(_redis_scheme)]
Port = Annotated[int, Field(ge=0, le=65535)]


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
    decision_budget_ms: Annotated[int, Field(ge=10, le=10_000)] = 150
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_customers_max: Annotated[int, Field(ge=0, le=10_000)] = 200

    @property
    def tokens(self) -> Path:
        """Where the hashes of tokens are kept."""
        return self.tokens_file or self.data_dir / "tokens.json"

    @property
    def listens_beyond_loopback(self) -> bool:
        """Whether somebody on another machine could call."""
        return not {self.host, self.admin_host} <= LOOPBACK
