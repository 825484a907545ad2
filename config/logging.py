"""Log lines that machines can read in production and people can read at a terminal."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import orjson
from django.core.exceptions import ImproperlyConfigured

# What every LogRecord has; the rest came in through `extra` and belongs on the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

UNSUBSCRIBE = re.compile(r"(/unsubscribe/).+")


def logging_settings(*, json_lines: bool, level: str) -> dict[str, Any]:
    """Django's LOGGING: everything from `level` up to stderr, one line a record (a traceback follows its line).

    Raises ImproperlyConfigured for a level that there is not; upper and lower case are one.
    """
    level = level.upper()
    if level not in (levels := logging.getLevelNamesMapping()):
        raise ImproperlyConfigured(f"LOG_LEVEL has to be one of {', '.join(levels)}, not {level!r}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": JsonFormatter if json_lines else ConsoleFormatter}},
        "filters": {"messages": {"()": NamesMessages}, "links": {"()": HidesLinks}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["messages", "links"]}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handler would print each server error a second time.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # Strawberry logs each error that a resolver raises; ours are logged once, by the endpoint.
            "strawberry.execution": {"level": "CRITICAL"},
            "httpx": {"level": "WARNING"},
            # It tells of each step of a connection.
            "pika": {"level": "WARNING"},
            # Likewise: `broadside.task` says what came of a task, and each failure is logged once.
            "dramatiq.worker.WorkerThread": {"level": "CRITICAL"},
            "dramatiq.middleware.age_limit.AgeLimit": {"level": "ERROR"},
            "dramatiq.middleware.asyncio.AsyncIO": {"level": "WARNING"},
            "dramatiq.middleware.retries.Retries": {"level": "ERROR"},
            # One line per operation says more than one per request.
            "uvicorn.access": {"level": "WARNING"},
            "uvicorn": {"handlers": [], "level": level, "propagate": True},
        },
    }


class HidesLinks(logging.Filter):
    """Keeps the links that end mails out of the log, where Django quotes the paths that it answers with an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "django.request" and isinstance(record.args, tuple):
            record.args = tuple(
                UNSUBSCRIBE.sub(r"\1…", each) if isinstance(each, str) else each for each in record.args
            )
        return True


class NamesMessages(logging.Filter):
    """Has Dramatiq call its messages by actor and id. It would say what they hold, like the address of a mail."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("dramatiq") and isinstance(record.args, tuple):
            record.args = tuple(map(_name, record.args))
        return True


def _name(value: Any) -> Any:
    return f"{value.actor_name} {value.message_id}" if hasattr(value, "message_id") else value


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever came in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # orjson takes no lone surrogates and no integers beyond 64 bits; no line is lost for that
            return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """`12:30:01 INFO broadside.operation Feed ms=4.1 statements=5`: the same record, for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record, "%H:%M:%S")
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items() if value is not None)
        line = f"{time} {record.levelname} {record.name} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    # Django and uvicorn put whole request objects and coloured copies of the message there.
    return {
        key: value
        for key, value in vars(record).items()
        if key not in _STANDARD and key not in {"request", "server_time", "color_message", "status_code"}
    }
