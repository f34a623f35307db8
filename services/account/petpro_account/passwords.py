"""Passwords: Argon2id with the parameters that OWASP asks for, on threads of its own.

One check takes about 20 ms of a core and 19 MiB. Two run at once; when forty wait the next is turned away, so that a
flood of sign-ins neither fills the memory nor holds up other calls. An address that nobody has is checked against the
hash of a password that nobody knows: it takes as long as a wrong password.
"""

import asyncio
import hashlib
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.low_level import hash_secret_raw

from petpro_common.errors import Overloaded

_MEMORY_KIB, _ROUNDS, _LANES, _HASH_BYTES = 19_456, 2, 1, 32
_THREADS = 2
_MAX_IN_HAND = 40

Result = TypeVar("Result")


@dataclass(frozen=True)
class Verdict:
    """Whether the password was right, and whether its hash was made with other parameters than today's."""

    is_right: bool
    is_outdated: bool = False


class Passwords:
    """Hashes and checks passwords. Every method raises Overloaded when too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(_ROUNDS, _MEMORY_KIB, _LANES, _HASH_BYTES, type=Type.ID)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())
        self._threads = ThreadPoolExecutor(_THREADS, "argon2")
        self._in_hand = 0

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters and salt in it."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def check(self, stored: str | None, password: str) -> Verdict:
        """Holds `password` against a stored hash; None, for an unknown address, takes as long and is never right."""
        return await self._run(lambda: self._check(stored, password))

    async def fingerprint(self, password: str, salt: str) -> str:
        """The same for the same password and salt, and as hard to turn back as a stored hash."""
        salted = hashlib.sha256(salt.encode()).digest()
        return await self._run(
            lambda: hash_secret_raw(_bytes(password), salted, _ROUNDS, _MEMORY_KIB, _LANES, _HASH_BYTES, Type.ID).hex()
        )

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, stored: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobodys, _bytes(password))
        except (VerifyMismatchError, InvalidHashError):
            return Verdict(is_right=False)
        return Verdict(stored is not None, stored is not None and self._hasher.check_needs_rehash(stored))

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._in_hand >= _MAX_IN_HAND:
            raise Overloaded
        self._in_hand += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._in_hand -= 1


def _bytes(password: str) -> bytes:
    """The same bytes however the device that typed it composes its characters (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()
