"""Waking the relay, apart from the transactions that wrote something for it."""

import logging
import threading

from django.db import Error, close_old_connections, connection

logger = logging.getLogger("broadside.relay")

# Seconds. What commits meanwhile is told of by the next notification.
PAUSE = 0.02


class Waker:
    """Notifies those who listen on `channel`, in a thread of its own, at most once in PAUSE.

    A NOTIFY within a transaction that writes would have all such transactions of the database commit one after the
    other, each with its wait for the disk: PostgreSQL queues notifications under one lock. See ADR 12.
    """

    def __init__(self, channel: str) -> None:
        self._statement = f"NOTIFY {channel}"
        self._starting = threading.Lock()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Return at once. Nobody is told when PostgreSQL does not answer: who listens looks by itself, too."""
        self._wanted.set()
        # A thread does not survive a fork.
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while self._wanted.wait():
            self._wanted.clear()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(self._statement)
            except Error:
                logger.debug("Nobody was woken.", exc_info=True)
            finally:
                close_old_connections()
            pause.wait(PAUSE)
