from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from apps.core import pulse
from apps.core.models import JobOutcome, JobRun
from apps.core.schedule import table
from apps.core.schedule.table import Job
from tests.tasks import work_off, written

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def way() -> table.JobStatus:
    with connection.cursor() as cursor:
        cursor.execute(table.STATUS, table.wanted([Job(pulse.WAY, every=MINUTE)]))
        [status] = table.statuses(cursor.fetchall())
    return status


def grow_older(age: timedelta) -> None:
    JobRun.objects.update(started_at=F("started_at") - age)


def test_a_pulse_that_arrives_says_how_long_it_took() -> None:
    call_command("pulse")
    [run] = JobRun.objects.filter(job=pulse.WAY)
    assert written() == [("beat", [run.pk])]
    assert (way().last_end, way().late) == (None, False)
    grow_older(timedelta(seconds=3))

    work_off()

    run.refresh_from_db()
    assert (run.outcome, way().late) == (JobOutcome.DONE, False)
    assert 3 <= (way().seconds or 0) < 60


def test_a_pulse_that_arrives_twice_has_arrived_the_first_time() -> None:
    call_command("pulse")
    run = JobRun.objects.get()
    pulse.arrived(run.pk)
    JobRun.objects.update(ended_at=F("ended_at") - MINUTE)
    before = JobRun.objects.get().ended_at
    pulse.arrived(run.pk)
    assert JobRun.objects.get().ended_at == before


def test_while_one_is_on_its_way_no_other_is_sent_until_it_is_given_up() -> None:
    call_command("pulse")
    call_command("pulse")
    assert len(written()) == 1
    grow_older(timedelta(minutes=11))
    assert way().late
    call_command("pulse")
    assert len(written()) == 2
