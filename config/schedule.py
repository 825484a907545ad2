"""What is done again and again. Each job is a management command, so it can also be run by cron, or by hand."""

from datetime import timedelta

from apps.core.schedule.table import Job

JOBS = (
    Job("publish_due", every=timedelta(seconds=5)),
    Job("pulse", every=timedelta(minutes=1)),
    Job("purge", every=timedelta(hours=1)),
    Job("check_data", every=timedelta(days=1), arguments=("--repair",)),
)
