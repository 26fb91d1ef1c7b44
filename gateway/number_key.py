"""The key with which telephone numbers are hashed (T21.1): where it comes from, and how it is made.

It is configured, or, with the embedded Redis, which belongs to one gateway alone, made at the first start and kept beside the data. Gateways
that share a store need the same key, so none is made for them.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from gateway.settings import Settings


KEY_LENGTH_MIN = 32
"""In characters."""

KEY_BYTES_MAX = 4096
FILE_NAME = "number.key"
"""Holds 64 hexadecimal digits, so that it can be given to another gateway as it is."""


class NumberKeyError(Exception):
    """The key cannot be used; says why and what to do, never what it is."""


def number_key(settings: Settings) -> bytes | None:
    """The key, as bytes of its text without white space around it. None: an external Redis and no key configured. Raises NumberKeyError."""
    key, file = settings.number_key, settings.number_key_file
    if key is not None and file is not None:
        raise NumberKeyError("GATEWAY_NUMBER_KEY and GATEWAY_NUMBER_KEY_FILE are both set; leave one out")
    if key is not None:
        return _checked(key.get_secret_value(), "GATEWAY_NUMBER_KEY")
    if file is not None:
        return _read(file)
    return _own(settings.data_dir / FILE_NAME) if settings.redis_url is None else None


def _own(path: Path) -> bytes:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
    except OSError as error:
        raise NumberKeyError(
            f"the number key {path} cannot be made: {error.strerror}; or set GATEWAY_NUMBER_KEY or GATEWAY_NUMBER_KEY_FILE"
        ) from None
    return _read(path)


def _make(path: Path) -> None:
    """Whole or not at all, and lasting: the hashes that are stored outlive this process. The file is its owner's alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another gateway was first; its key holds for both
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(KEY_BYTES_MAX + 1)
    except OSError as error:
        raise NumberKeyError(f"the number key {path} cannot be read: {error.strerror}") from None
    if len(content) > KEY_BYTES_MAX:
        raise NumberKeyError(f"the number key {path} is too long: more than {KEY_BYTES_MAX} bytes")
    # As the environment is decoded; a strict decoder would put the key into its exception.
    return _checked(content.decode("utf-8", "surrogateescape"), f"the number key {path}")


def _checked(text: str, where: str) -> bytes:
    key = text.strip()
    if any("\ud800" <= character <= "\udfff" for character in key):
        raise NumberKeyError(f"{where} is no text; `openssl rand -hex 32` makes a key")
    if len(key) < KEY_LENGTH_MIN:
        raise NumberKeyError(
            f"{where} is too short: {len(key)} characters of at least {KEY_LENGTH_MIN}; `openssl rand -hex 32` makes a key"
        )
    return key.encode()
