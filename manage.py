#!/usr/bin/env python
"""Runs Django's commands, by default with the settings for development and with a PostgreSQL of our own."""

import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
DEV_SETTINGS = "config.settings.dev"

# `dev` starts the server itself, after a look at its port.
WITHOUT_DATABASE = {
    *("dev", "help", "version", "check", "diffsettings", "export_schema", "collectstatic", "findstatic"),
    *("startapp", "startproject", "makemessages", "compilemessages"),
}


def main() -> None:
    """Run the command that the arguments name."""
    if sys.version_info < (3, 11):  # noqa: UP036 - started by hand with whatever `python` is
        sys.exit("Broadside needs Python 3.11 or later, and this is Python " + sys.version.split()[0] + ".")
    if sys.argv[1:2] == ["dev"]:
        # Until `dev` listens itself: an exception for Ctrl-C can get lost in the middle of an import.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import environ  # noqa: PLC0415
        from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
        from django.core.management import execute_from_command_line  # noqa: PLC0415
    except ImportError:
        sys.exit(
            "Django is not installed in this Python. `make run` installs everything into .venv; "
            "after it, use .venv/bin/python manage.py."
        )
    from config import embedded_postgres  # noqa: PLC0415 - old Pythons do not get this far

    environ.Env.read_env(BASE_DIR / ".env")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", DEV_SETTINGS)
    database: AbstractContextManager[object] = nullcontext()
    if wants_embedded_postgres(sys.argv[1:]):
        database = embedded_postgres.running(BASE_DIR / "var" / "postgres")
    try:
        with database:
            execute_from_command_line(sys.argv)
    except embedded_postgres.EmbeddedPostgresError as error:
        sys.exit(str(error))
    except ImproperlyConfigured as error:
        sys.exit(f"{os.environ['DJANGO_SETTINGS_MODULE']}: {error}")


def wants_embedded_postgres(arguments: list[str]) -> bool:
    """Whether the command reads the database and the settings for development have no other one."""
    if os.environ.get("DATABASE_URL") or os.environ["DJANGO_SETTINGS_MODULE"] != DEV_SETTINGS:
        return False
    if any(argument in {"-h", "--help"} or argument.startswith("--settings") for argument in arguments):
        return False
    return bool(arguments) and arguments[0] not in WITHOUT_DATABASE and not arguments[0].startswith("-")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
