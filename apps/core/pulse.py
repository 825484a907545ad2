"""A message that does nothing but arrive: whether outbox, relay, broker and worker work, and how long they take."""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from apps.core import outbox
from apps.core.models import JobOutcome, JobRun

JOB = "pulse"
# The name of its way among the runs of jobs: each from its writing to its arrival, both by the database's clock.
WAY = "pulse_way"
# A worker that comes back finds a few of them, however long it was away.
GIVEN_UP_AFTER = timedelta(minutes=10)


@transaction.atomic
def send() -> bool:
    """Send one, unless the last is still on its way and may yet arrive; whether it was sent. Three statements."""
    from apps.core import tasks  # noqa: PLC0415  (which imports this module)

    on_its_way = JobRun.objects.filter(job=WAY, ended_at=None, started_at__gt=Now() - GIVEN_UP_AFTER)
    if on_its_way.exists():
        return False
    outbox.send(tasks.beat, JobRun.objects.create(job=WAY).pk)
    return True


def arrived(run_id: int) -> None:
    """Note that it has arrived, the first time. One statement."""
    JobRun.objects.filter(pk=run_id, ended_at=None).update(ended_at=Now(), outcome=JobOutcome.DONE)
