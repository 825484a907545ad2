"""The executor's side of a field. It knows neither Django nor this application."""

from schema.engine.fields import BatchField, batch_field
from schema.engine.levels import Levels

__all__ = ["BatchField", "Levels", "batch_field"]
