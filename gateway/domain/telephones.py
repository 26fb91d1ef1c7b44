"""Telephone numbers: what is derived from one, and the keyed hash that is kept in its place (T21.1, T15.2).

There are few enough numbers to try them all, so a hash without a key would hide nothing: whoever holds the key can find the numbers again, and
nobody else. Nothing here remembers a number: no cache, no message, no exception holds one.
"""

import hashlib
import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from gateway.domain.join import KEPT_NUMBER, Telephone


PREMIUM_RATE = "premium_rate"
STANDARD = "standard"

_KEPT = re.compile(KEPT_NUMBER)
_NO_COUNTRY = phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY


class NumberKeyMissing(Exception):
    """A number was to be kept, and the gateway has no key to hash it with (T21.1); says what to set."""

    def __init__(self) -> None:
        super().__init__(
            "telephone numbers are kept as keyed hashes, and no key is configured; set GATEWAY_NUMBER_KEY or GATEWAY_NUMBER_KEY_FILE, "
            "to the same key for all gateways of a store"
        )


class Telephones:
    """Reads telephone numbers under one key (T21.1). Gateways of one store hold the same key: only then do their hashes agree.

    `key`: a secret of any length; it is not kept, only what hashes with it. None: numbers are read, and no hash is made.
    """

    __slots__ = ("_hasher", "key_id")

    def __init__(self, key: bytes | None) -> None:
        assert key != b"", "an empty key hides nothing"
        phonenumbers.enable_pattern_cache()  # patterns of all countries: 2.4 MB; without them calls from many countries take 0.2 ms
        self.key_id: str | None = None
        """Tells keys apart without giving one away: 8 hexadecimal digits. None without a key."""
        self._hasher: hashlib.blake2b | None = None
        if key is not None:
            self.key_id = hashlib.blake2b(key, digest_size=4, person=b"number key id").hexdigest()
            secret = hashlib.blake2b(key, digest_size=64, person=b"number key").digest()
            self._hasher = hashlib.blake2b(key=secret, digest_size=16, person=b"telephone number")

    def read(self, e164: str) -> Telephone:
        """What is kept of a number in E.164 (`+442079460958`): hash, country, class (T15.4).

        Of a text that is no number there is only the hash. An unassigned number has a calling code, and a country where the code has only one.
        Takes 15 to 40 µs, and up to 5 ms at the first number of a country, whose rules are loaded then.
        """
        number = _parsed(e164)
        if number is None:
            return Telephone(self._kept(e164))
        country = phonenumbers.region_code_for_number(number)
        premium = phonenumbers.number_type(number) == PhoneNumberType.PREMIUM_RATE
        return Telephone(
            hash=self._kept(_spelt(number)),
            calling_code=number.country_code,
            country=None if country == _NO_COUNTRY else country,
            number_class=PREMIUM_RATE if premium else STANDARD,
        )

    def keep(self, e164: str) -> str:
        """The form in which a number is kept (T15.2): `hash:`, the id of the key, `:`, the hash. However it is spelt, a number has one form.

        Raises NumberKeyMissing.
        """
        number = _parsed(e164)
        kept = self._kept(e164 if number is None else _spelt(number))
        if kept is None:
            raise NumberKeyMissing
        return kept

    def knows(self, kept: str) -> bool:
        """Whether a kept form was made under this key. One that was not will never equal a number that is read."""
        return is_kept(kept) and kept.split(":")[1] == self.key_id

    def _kept(self, text: str) -> str | None:
        if self._hasher is None:
            return None
        hasher = self._hasher.copy()
        # A text that cannot be encoded would otherwise travel in the exception.
        hasher.update(text.encode("utf-8", "surrogatepass"))
        return f"hash:{self.key_id}:{hasher.hexdigest()}"


def is_kept(text: str) -> bool:
    """Whether a text has the form in which numbers are kept, under whichever key."""
    return _KEPT.fullmatch(text) is not None


def _parsed(e164: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(e164)
    except NumberParseException:
        return None


def _spelt(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
