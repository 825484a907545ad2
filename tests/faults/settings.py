"""Settings of the processes of a drill: those of `make run`, with mails as files, a killer among the middleware, and
brokers that notice within seconds that somebody who had a message is dead.
"""

import os

from config.settings.dev import *
from config.settings.dev import DATABASES, DRAMATIQ_BROKER
from tests.faults import clock

clock.install()

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "tests.faults.mailbox.EmailBackend"
RATE_LIMIT_LOGIN = "off"

DATABASES["default"]["ENGINE"] = "tests.faults.postgresql"
# Which wants Broadside's own.
SILENCED_SYSTEM_CHECKS = ["broadside.E003"]
DRAMATIQ_BROKER["MIDDLEWARE"] = ["tests.faults.killer.Killer", *DRAMATIQ_BROKER["MIDDLEWARE"]]
if not os.environ.get("BROKER_URL"):
    DRAMATIQ_BROKER["OPTIONS"] |= {"heartbeat_interval": 0.5, "heartbeat_ttl": 3, "maintenance_interval": 1}
elif os.environ["BROKER_URL"].startswith("redis"):
    DRAMATIQ_BROKER["OPTIONS"] |= {"heartbeat_timeout": 3_000}
