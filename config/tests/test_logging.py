import json
import logging
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from dramatiq import Message, MessageProxy

from config.logging import ConsoleFormatter, HidesLinks, JsonFormatter, NamesMessages, logging_settings


def record(level: int = logging.INFO, exc_info: Any = None, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("broadside.operation", level, __file__, 1, "Feed %s", ("now",), exc_info)
    vars(made).update(extra)
    return made


def failure() -> Any:
    try:
        raise ValueError("broken")
    except ValueError:
        return sys.exc_info()


def test_json_lines_carry_what_came_in_extra() -> None:
    line = json.loads(JsonFormatter().format(record(ms=4.1, statements=5, code="OK", request_id="abc")))
    when = datetime.fromisoformat(line.pop("time"))
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert line == {
        "level": "INFO",
        "logger": "broadside.operation",
        "message": "Feed now",
        "ms": 4.1,
        "statements": 5,
        "code": "OK",
        "request_id": "abc",
    }


def test_a_record_is_one_line_also_with_a_traceback_and_odd_values() -> None:
    text = JsonFormatter().format(record(exc_info=failure(), price=Decimal("1.5"), text="two\nlines", odd={1, 2}))
    assert "\n" not in text
    line = json.loads(text)
    assert line["traceback"].startswith("Traceback")
    assert "ValueError: broken" in line["traceback"]
    assert (line["price"], line["text"]) == ("1.5", "two\nlines")


@pytest.mark.parametrize("formatter", [JsonFormatter(), ConsoleFormatter()])
def test_whole_requests_and_coloured_copies_are_left_out(formatter: logging.Formatter) -> None:
    text = formatter.format(record(request=object(), color_message="\x1b[1mFeed", server_time="now", status_code=200))
    assert not any(word in text for word in ("object", "color", "server_time", "status_code", "\x1b"))


def test_console_lines_are_for_eyes() -> None:
    text = ConsoleFormatter().format(record(ms=4.1, statements=5, request_id=None))
    assert text.split(" ", 1)[1] == "INFO broadside.operation Feed now ms=4.1 statements=5"
    head, *traceback = ConsoleFormatter().format(record(logging.ERROR, failure())).splitlines()
    assert head.endswith("ERROR broadside.operation Feed now")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ValueError: broken"


def test_a_lone_surrogate_does_not_lose_the_line() -> None:
    """orjson refuses it, and a line that cannot be written is a line that nobody reads."""
    assert "Feed" in JsonFormatter().format(record(path="\ud800"))


def test_the_settings_write_each_record_once_to_one_place() -> None:
    settings = logging_settings(json_lines=True, level="INFO")
    assert list(settings["handlers"]) == ["stderr"]
    handlers = [logger.get("handlers", []) for logger in settings["loggers"].values()]
    assert not any(handlers)
    assert settings["root"] == {"handlers": ["stderr"], "level": "INFO"}


def test_no_line_says_what_a_message_of_dramatiq_holds() -> None:
    message = MessageProxy(Message("default", "mail_notice", ("ann@example.com",), {}, {}, message_id="abc"))
    made = logging.LogRecord("dramatiq.worker", logging.WARNING, __file__, 1, "Failed: %s, %s", (message, 5), None)
    assert "ann@example.com" in made.getMessage()
    assert NamesMessages().filter(made)
    assert made.getMessage() == "Failed: mail_notice abc, 5"


def test_links_that_end_mails_are_not_written_down() -> None:
    record = logging.makeLogRecord(
        {"name": "django.request", "msg": "%s: %s", "args": ("Not Found", "/unsubscribe/1.comment.abc/")}
    )
    assert HidesLinks().filter(record)
    assert record.getMessage() == "Not Found: /unsubscribe/…"
