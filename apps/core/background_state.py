"""How the background work is, for `/readyz?verbose`: numbers, names and times, nothing that anybody has written."""

from datetime import timedelta
from typing import Any

import psycopg

from apps.core import pulse
from apps.core.schedule import table
from apps.core.schedule.leadership import Leadership
from apps.core.schedule.scheduler import LEADERSHIP
from apps.core.schedule.table import Job, JobStatus

# A message that is due and has been for longer waits for a relay that is not there, or for a broker.
OUTBOX_PATIENCE = timedelta(minutes=1)

QUEUES = f"""
SELECT count(*), coalesce(extract(epoch FROM now() - min(due_at))::float8, 0),
    (SELECT count(*) FROM core_deadletter), {Leadership.HELD}
FROM core_outboxmessage WHERE due_at <= now()
"""  # noqa: S608 - all of it is ours


async def look(connection: psycopg.AsyncConnection[Any]) -> dict[str, Any]:
    """What there is to say, with `is_well`: whether nobody needs to look after it. Two statements."""
    jobs = list(table.jobs())
    # The way of a pulse is as regular as the job that sends it.
    ways = [Job(pulse.WAY, every=job.every) for job in jobs if job.name == pulse.JOB]
    cursor = await connection.execute(table.STATUS, table.wanted([*jobs, *ways]))
    found = table.statuses(await cursor.fetchall())
    of_jobs, of_ways = found[: len(jobs)], found[len(jobs) :]
    cursor = await connection.execute(QUEUES, {"leadership": LEADERSHIP})
    due, oldest, dead, is_scheduled = await cursor.fetchone() or (0, 0.0, 0, False)
    return {
        "outbox": {"due": due, "oldest_seconds": round(oldest, 1)},
        "dead_letters": dead,
        "scheduler": "active" if is_scheduled else "none",
        "jobs": {job.name: _of_job(job) for job in of_jobs},
        "pulse": _of_way(of_ways[0]) if of_ways else None,
        "is_well": not dead
        and oldest <= OUTBOX_PATIENCE.total_seconds()
        and not any(job.late or job.failing for job in found),
    }


def _of_job(job: JobStatus) -> dict[str, Any]:
    return {
        "last_start": job.last_start,
        "last_end": job.last_end,
        "outcome": job.outcome,
        "late": job.late,
        "failing": job.failing,
    }


def _of_way(way: JobStatus) -> dict[str, Any]:
    return {"at": way.last_end, "lag_seconds": way.seconds, "late": way.late}
