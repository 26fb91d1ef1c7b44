"""Bearer tokens: who may call. Kept as SHA-256 hashes in a file; a token is shown once, when it is made.

A fast hash is right here: a token is 256 bits of randomness, which nobody guesses, and it is hashed with every request.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec


Scope = Literal["admit", "nodes", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TOKENS_MAX = 10_000


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token allows. Empty `customers`: all; no `node`: any. `admin` includes `read`."""

    id: str
    sha256: str
    scopes: tuple[Scope, ...]
    customers: tuple[str, ...] = ()
    node: str | None = None
    created_at: str = ""

    def allows(self, scope: Scope) -> bool:
        """Whether calls of that scope are allowed."""
        return scope in self.scopes or (scope == "read" and "admin" in self.scopes)

    def covers(self, customer: str) -> bool:
        """Whether that customer may be acted upon."""
        return not self.customers or customer in self.customers


class TokenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of tokens."""

    tokens: Annotated[tuple[Token, ...], msgspec.Meta(max_length=TOKENS_MAX)] = ()


class Tokens:
    """The tokens of a file, looked up by their hash; read again when the file changes.

    `required`: whether callers need one. Once there was a token they do, also when the last one is revoked.
    """

    def __init__(self, path: Path | None, *, required: bool = False) -> None:
        self._path = path
        self._stamp = 0
        self._by_hash: dict[str, Token] = {}
        self.required = required
        self.refresh()

    def __len__(self) -> int:
        return len(self._by_hash)

    def refresh(self) -> None:
        """Reads the file if it has changed. Raises OSError or msgspec.DecodeError, and keeps what it had."""
        if self._path is None or not self._path.exists():
            return
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            self._by_hash = {token.sha256: token for token in read(self._path).tokens}
            self._stamp = stamp
            self.required = self.required or bool(self._by_hash)

    def find(self, secret: str) -> Token | None:
        """The token with that secret."""
        return self._by_hash.get(hashed(secret))


def hashed(secret: str) -> str:
    """The form in which a secret is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def read(path: Path) -> TokenFile:
    """The tokens of a file; none where there is no file. Raises msgspec.DecodeError where it is no file of tokens."""
    return msgspec.json.decode(path.read_bytes(), type=TokenFile) if path.exists() else TokenFile()


def create(
    path: Path, scopes: Sequence[Scope], *, customers: Sequence[str] = (), node: str | None = None
) -> tuple[Token, str]:
    """Makes a token and adds it to the file. The token, and the secret, which is kept nowhere."""
    secret = f"gw_{secrets.token_urlsafe(32)}"
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    token = Token(secrets.token_hex(4), hashed(secret), tuple(scopes), tuple(customers), node, now)
    tokens = TokenFile((*read(path).tokens, token))
    path.parent.mkdir(parents=True, exist_ok=True)
    # A new file, so that it is its owner's alone whatever was there before.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(tokens), indent=2))
    Path(temporary).replace(path)
    return token, secret
