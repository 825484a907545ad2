"""Publishes scheduled posts whose time has come."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.core.text import counted
from apps.posts.services import posts_publish_due


class Command(BaseCommand):
    help = "Publish the scheduled posts whose time has come. A job of the schedule, or for cron, every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        if published := posts_publish_due():
            self.stdout.write(f"Published {counted(published, 'scheduled post')}.")
