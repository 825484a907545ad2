"""What `manage.py worker` adds to Dramatiq's own command, in each of the processes that this starts."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from math import inf
from types import FrameType

import django
import dramatiq
from django.apps import apps
from django.db import connections
from django.utils.module_loading import autodiscover_modules
from dramatiq import Broker, BrokerConnectionError, Middleware, Worker

from apps.core.worker.attendance import Attendance, Crew

logger = logging.getLogger("broadside.worker")

# Seconds that a process has for its end, beside those for its tasks.
GRACE = 4
# From <sys/prctl.h>.
PR_SET_PDEATHSIG = 1


def prepare() -> None:
    """In a process for tasks, before it starts its threads: actors, metrics, signs of life, and an end in time."""
    _end_with_parent()
    _stop_once()
    if not apps.ready:
        django.setup()
    from apps.core.metrics import Metrics  # noqa: PLC0415  (where nothing is forked, Django is not set up before)
    from apps.core.worker.tasklog import TaskLog  # noqa: PLC0415

    autodiscover_modules("tasks")
    crew = Crew.announced()
    attendance = Attendance(crew)
    broker = dramatiq.get_broker()
    # One that django_dramatiq brings along has no limit.
    _bound_statements(max(actor.options.get("time_limit", 0) for actor in broker.actors.values()))
    broker.add_middleware(attendance)
    broker.add_middleware(Departure(attendance, crew.shutdown_seconds))
    broker.add_middleware(Metrics(), before=TaskLog)


def watch() -> None:
    """In a process beside those: serve the probe, until a signal ends it."""
    _end_with_parent()
    if not apps.ready:
        django.setup()
    from apps.core import probe  # noqa: PLC0415

    with probe.serving(Crew.announced().is_healthy):
        while True:
            signal.pause()


class Departure(Middleware):
    """Ends a worker's process in time. Tasks that have not ended by then go back to the broker."""

    def __init__(self, attendance: Attendance, seconds: int) -> None:
        self._attendance = attendance
        self._seconds = seconds

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        # Whatever holds up the rest: a consumer that waits for its broker, a thread that is not Dramatiq's.
        killer = threading.Timer(self._seconds + GRACE, os._exit, [1])
        killer.daemon = True
        killer.start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Give back what threads are still at, and end the process with them, before somebody else begins with it."""
        left = self._attendance.at_work()
        for message in left:
            logger.warning(
                "%s has not ended in time, and goes back to the broker",
                message.actor_name,
                extra={"message_id": message.message_id},
            )
        for message in left:
            try:
                worker.consumers[message.queue_name].requeue_messages([message])
            except BrokerConnectionError:
                logger.exception("The broker does not take it back: it will notice by itself")
        if left:
            logging.shutdown()
            os._exit(0)


def _bound_statements(milliseconds: float) -> None:
    """Let no statement, with what it waits for, and no idle transaction take longer than the longest of all tasks may.

    Nothing interrupts a thread that waits for the database: not even its task's time limit.
    """
    if milliseconds == inf:
        return
    database = connections["default"].settings_dict
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    bounds = " ".join(f"-c {name}={milliseconds:.0f}" for name in names)
    # What DATABASE_URL says comes behind it, and wins.
    database["OPTIONS"] = {**database["OPTIONS"], "options": f"{bounds} {database['OPTIONS'].get('options', '')}"}


def _stop_once() -> None:
    """Pass over all signals to stop but the first. Dramatiq's command hands on what it gets itself, and cuts tasks off
    at the second, while systemd, for one, signals all processes at once."""
    stop = signal.getsignal(signal.SIGTERM)
    told = False

    def stop_once(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told and callable(stop):
            told = True
            stop(number, frame)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop_once)


def _end_with_parent() -> None:
    """Have the kernel tell this process to stop when the command that has started it was killed. On Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
