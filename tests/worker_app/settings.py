"""The tests' settings for processes of their own, with the tasks of this application, and less patience."""

from apps.core.worker import attendance
from config.settings.test import *
from config.settings.test import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker_app"]
attendance.SILENCE, attendance.PAUSE = 3.0, 0.2
