"""The breadth-first executor. It knows neither Django nor this application; docs/engine.md introduces it."""

from schema.engine.execute import Outcome
from schema.engine.executor import BreadthFirstExecutor
from schema.engine.fields import BatchField, batch_field, live_field, reads
from schema.engine.internals import attributes_read
from schema.engine.levels import Levels
from schema.engine.permissions import Permission, Refusal
from schema.engine.subscribing import opened

__all__ = [
    "BatchField",
    "BreadthFirstExecutor",
    "Levels",
    "Outcome",
    "Permission",
    "Refusal",
    "attributes_read",
    "batch_field",
    "live_field",
    "opened",
    "reads",
]
