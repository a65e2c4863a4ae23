"""Tokens under lock and key: what stores are given of them."""

from __future__ import annotations

from pydantic import SecretStr

from core.errors import ConfigError

WRITE_KEY = "`consortium key` prints one; several, parted by commas, all open what is stored, and the first one seals"


class Seal:
    """Seals texts, so that only who has the key reads them, and notices when they were changed.

    ``keys`` are those of ENCRYPTION_KEY, parted by commas: the first seals, each of them opens. Raises ConfigError for
    what is no key.
    """

    def __init__(self, keys: SecretStr) -> None:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # 30 ms, only where something is sealed

        self._wrong = InvalidToken
        try:
            fernets = [Fernet(key.strip().encode()) for key in keys.get_secret_value().split(",")]
        except ValueError:
            raise ConfigError(f"ENCRYPTION_KEY: is no key; {WRITE_KEY}") from None
        self._first, self._all = fernets[0], MultiFernet(fernets)

    def close(self, text: str) -> bytes:
        """Seal a text."""
        return self._first.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The text. Raises ConfigError when none of the keys is the one that sealed it."""
        try:
            return self._all.decrypt(sealed).decode()
        except self._wrong:
            raise ConfigError(
                "ENCRYPTION_KEY: does not open the tokens that are stored; write the key that they were stored with, "
                "behind a comma if you have a new one"
            ) from None

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the first key sealed it."""
        try:
            self._first.decrypt(sealed)
        except self._wrong:
            return False
        return True
