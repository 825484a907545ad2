"""What Prometheus is told: of this process and, for a worker, of all that belong to it; and of the database."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from dramatiq import Broker, MessageProxy, Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from apps.core.db import conninfo
from apps.core.schedule import table
from apps.core.worker.tasklog import attempt_of

logger = logging.getLogger("broadside.metrics")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Where the processes of a worker keep their numbers, so that the one which is asked can add them up.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# Seconds. Prometheus itself gives up after ten.
PATIENCE = 2
MOMENTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# One at a time asks the database, however many clients there are: its connections are for those who work.
_asking = threading.Lock()
# The label for the actors of other releases: whatever a message names must not become a series.
UNKNOWN = "unknown"
# What a relay may meet, which knows no actors.
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9._-]{0,99}")

STATE = """
SELECT count(*), count(*) FILTER (WHERE due_at <= now()),
    coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8,
    (SELECT count(*) FROM core_deadletter)
FROM core_outboxmessage
"""

# The library has looked for FOLDER when it was imported, maybe by somebody else.
values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ENQUEUED = Counter(
    "broadside_messages_enqueued",
    "Messages that the relay has handed to the broker; again for each retry.",
    ["actor"],
    registry=REGISTRY,
)
TASKS = Counter(
    "broadside_tasks",
    "Attempts at tasks by what came of them: done, retried (failed, to be tried again) or dead (failed for good).",
    ["actor", "outcome"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "broadside_task_seconds", "How long an attempt took.", ["actor"], buckets=MOMENTS, registry=REGISTRY
)
LAG = Histogram(
    "broadside_task_lag_seconds",
    "How long a message had been due when its first attempt began, by the clocks of two machines.",
    ["actor"],
    buckets=MOMENTS,
    registry=REGISTRY,
)


def enqueued(actor: str) -> None:
    """Count what the relay has handed over."""
    ENQUEUED.labels(actor if LABEL.fullmatch(actor) else UNKNOWN).inc()


class Metrics(Middleware):
    """Counts the tasks of a worker. Has to stand before TaskLog, which measures them."""

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        attempt = attempt_of(message)
        actor = message.actor_name if message.actor_name in broker.actors else UNKNOWN
        TASKS.labels(actor, attempt.outcome).inc()
        SECONDS.labels(actor).observe(attempt.seconds)
        if attempt.lag is not None:
            LAG.labels(actor).observe(attempt.lag)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message)


class _Database(Collector):
    """Read anew each time that somebody asks, on a connection of its own, within PATIENCE."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        state = []
        if _asking.acquire(timeout=PATIENCE):
            try:
                state = _asked()
            except psycopg.Error as error:
                logger.warning("The database does not answer: %s", error)
            finally:
                _asking.release()
        yield GaugeMetricFamily("broadside_database_up", "Whether the database has answered.", value=bool(state))
        yield from state


def _asked() -> list[GaugeMetricFamily]:
    """Raises psycopg.Error."""
    address = conninfo(connect_timeout=str(PATIENCE), options=f"-c statement_timeout={PATIENCE * 1000}")
    with psycopg.connect(address, autocommit=True) as connection:
        found = connection.execute(STATE).fetchone() or (0, 0, 0, 0)
        jobs = table.statuses(connection.execute(table.STATUS, table.wanted(table.jobs())).fetchall())
    described = (
        ("broadside_outbox_messages", "Messages that the broker has not got yet."),
        ("broadside_outbox_due_messages", "Those of them that are due: the others wait for their time."),
        ("broadside_outbox_age_seconds", "How long the oldest of them has been due; 0 where none is."),
        ("broadside_dead_letters", "Messages that were given up."),
    )
    gauges = [
        GaugeMetricFamily(name, description, value=max(0, value))
        for (name, description), value in zip(described, found, strict=True)
    ]
    return [*gauges, *_of_jobs(jobs)]


def _of_jobs(jobs: Iterable[table.JobStatus]) -> list[GaugeMetricFamily]:
    late = GaugeMetricFamily("broadside_job_late", "Whether a job has not ended well for too long.", labels=["job"])
    failing = GaugeMetricFamily("broadside_job_failing", "Whether its last run has failed.", labels=["job"])
    ended = GaugeMetricFamily("broadside_job_end_timestamp_seconds", "When its last run ended.", labels=["job"])
    for job in jobs:
        late.add_metric([job.name], job.late)
        failing.add_metric([job.name], job.failing)
        if job.last_end is not None:
            ended.add_metric([job.name], job.last_end.timestamp())
    return [late, failing, ended]


_DATABASE = CollectorRegistry()
_DATABASE.register(_Database())


def exposition() -> bytes:
    """Everything, as Prometheus reads it. Two seconds without an answer from the database, and its part is missing."""
    counted = REGISTRY
    if os.environ.get(FOLDER):
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(_DATABASE)
