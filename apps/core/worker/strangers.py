"""Messages that this release does not understand: they fail like any other, and stop no worker."""

import json
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID, uuid5

import dramatiq
from dramatiq import Actor, Broker, DecodeError, Middleware, Worker
from dramatiq.encoder import Encoder, MessageData
from dramatiq.errors import ActorNotFound

from apps.core.broker import MESSAGE_ID

# The actor of what is no message.
UNDECODABLE = "undecodable"
# Of an actor that there is not: a quarter of an hour, in which another release may take over from this one.
OPTIONS = {"max_retries": 10, "min_backoff": 1_000, "max_backoff": 300_000}
NAMESPACE = UUID("5b0c8ad0-55a5-4f55-9e52-6f5f3a1a3c0e")
FIELDS: dict[str, type] = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
    "message_id": str,
    "message_timestamp": int,
}


class Strangers(Middleware):
    """While a worker runs, every message can be decoded, and for each there is an actor, if only one that fails.

    Dramatiq by itself hands what it cannot do to the broker's own dead-letter queue, and what it cannot read stops the
    consumer, each time anew.
    """

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        broker.actors = _Actors(broker.actors)
        self._encoder = dramatiq.get_encoder()
        dramatiq.set_encoder(_Lenient(self._encoder, broker))

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        dramatiq.set_encoder(self._encoder)
        broker.actors = dict(broker.actors)


class _Actors(dict[str, Actor[..., Any]]):
    def __missing__(self, name: str) -> Any:
        return _Stranger(name)


@dataclass(frozen=True)
class _Stranger:
    """What the worker and its middleware ask an actor for."""

    actor_name: str
    priority: int = 0
    options: dict[str, Any] = field(default_factory=OPTIONS.copy)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ActorNotFound(f"This release has no actor {self.actor_name!r}.")  # type: ignore[no-untyped-call]


class _Lenient(Encoder):
    """Decodes anything; what is no message becomes one that holds it, and is given up at once."""

    def __init__(self, strict: Encoder, broker: Broker) -> None:
        self._strict = strict
        self._broker = broker

    def encode(self, data: MessageData) -> bytes:
        return self._strict.encode(data)

    def decode(self, data: bytes) -> MessageData:
        try:
            message: Any = self._strict.decode(data)
        except DecodeError:
            message = None
        if not _is_sound(message):
            message = _held(data, message if isinstance(message, dict) else {})
        queues = {*self._broker.queues, *self._broker.delay_queues}
        if message["queue_name"] not in queues:
            # A worker's thread would end with it.
            message["queue_name"] = next(iter(self._broker.queues))
        return message  # type: ignore[no-any-return]


def _is_sound(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == FIELDS.keys()
        and all(isinstance(message[name], kind) for name, kind in FIELDS.items())
        and _is_id(message["message_id"])
    )


def _is_id(text: Any) -> bool:
    return isinstance(text, str) and bool(MESSAGE_ID.fullmatch(text))


def _held(data: bytes, fields: dict[str, Any]) -> MessageData:
    """The message that holds `data`: always of the same id, and known to its broker as far as `fields` tell how."""
    options = fields.get("options")
    broker_id = options.get("redis_message_id") if isinstance(options, dict) else None
    sent, queue = fields.get("message_id"), fields.get("queue_name")
    return {
        "queue_name": queue if isinstance(queue, str) else "",
        "actor_name": UNDECODABLE,
        "args": [json.dumps(fields) if fields else data.decode(errors="backslashreplace")],
        "kwargs": {},
        "options": {"max_retries": 0} | ({"redis_message_id": broker_id} if isinstance(broker_id, str) else {}),
        "message_id": sent if _is_id(sent) else str(uuid5(NAMESPACE, data.hex())),
        "message_timestamp": int(time.time() * 1000),
    }
