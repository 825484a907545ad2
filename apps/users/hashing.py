"""Hashing of passwords: beside the event loop, few at a time, and nicely.

argon2 is slow and takes memory by design. All of it, the admin's included, is done by a few threads of this process,
whose lower priority leaves the processor to the event loop as soon as that has something to do.
"""

import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from threading import BoundedSemaphore, get_native_id
from typing import TypeVar

from django.contrib.auth.hashers import Argon2PasswordHasher, make_password, verify_password
from django.db import close_old_connections, connection

from apps.core.errors import DomainError, ErrorCode

T = TypeVar("T")

# Characters. What is longer is nobody's password, and is not looked at.
PASSWORD_MAX = 1_000
THREADS = max(1, (os.cpu_count() or 1) - 1)
# Whoever comes later is told to come back: waiting longer than a few seconds helps nobody.
WAITING_MAX = 50 * THREADS
NICENESS = 10


class Argon2(Argon2PasswordHasher):
    """argon2id with 46 MiB, one pass and one lane: the first choice of OWASP's Password Storage Cheat Sheet.

    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    Django's own parameters take 100 MiB and eight threads for each sign-in.
    """

    memory_cost = 46 * 1024
    time_cost = 1
    parallelism = 1


def hashed(password: str | None) -> str:
    """The hash to store, from the parameters of today; of None, and of what is too long, one that no password fits."""
    return _in_turn(partial(make_password, None if password is None else _normalized(password)))


def verified(password: str | None, encoded: str = "") -> tuple[bool, bool]:
    """Whether `password` is the one that was hashed, and whether its hash is from parameters of the past.

    It takes about as long where there is nothing to compare with, and for what is too long.
    """
    cut = _normalized(password or "")
    is_right, is_outdated = _in_turn(partial(verify_password, cut, encoded))
    return is_right and password is not None and len(password) <= PASSWORD_MAX, is_outdated


def _normalized(password: str) -> str:
    """One keyboard sends a letter and its accent as one character, another as two.

    Cut first: to normalise takes time by the square of what stands on one letter.
    """
    return unicodedata.normalize("NFC", password[: PASSWORD_MAX + 1])


def _in_turn(work: Callable[[], T]) -> T:
    """What `work` gives. This thread gives its connection back meanwhile, unless a transaction is open.

    Raises DomainError RATE_LIMITED when too many are waiting.
    """
    if not _waiting.acquire(blocking=False):
        raise DomainError(ErrorCode.RATE_LIMITED, "Too many people are signing in. Try again in a moment.", None, 5)
    try:
        if not connection.in_atomic_block:
            close_old_connections()
        return _threads().submit(work).result()
    finally:
        _waiting.release()


_waiting = BoundedSemaphore(WAITING_MAX)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="hashing", initializer=_be_nice)


def _be_nice() -> None:
    # On Linux this is about one thread. Elsewhere it may be about the process, or be refused.
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)
