"""How a slice turns a Django model into a type of the API, and adds fields to the types of slices below it."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

import strawberry
import strawberry_django
from django.db.models import Model
from strawberry import UNSET
from strawberry.types import get_object_definition
from strawberry_django.fields.field import StrawberryDjangoField

from apps.core.ids import global_ids
from schema.cost import TEXT, WEIGHT
from schema.engine import batch_field, reads

T = TypeVar("T", bound=type)


class Column(StrawberryDjangoField):
    """A field that is an attribute of its row, read without strawberry-django's look at what it may have to load.

    Loading is what batch fields are for: a type has no other fields.
    """

    # For the engine, which reads it by itself.
    reads_attribute = True

    @property
    def is_basic_field(self) -> bool:
        return self.base_resolver is None and not self.extensions

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """For graphql-core. strawberry-django would send each value of a row, which is no instance, to a thread."""
        if self.base_resolver is not None:
            return super().get_result(source, info, args, kwargs)
        return getattr(source, self.django_name or self.python_name)


def long_text(maximum: int) -> Any:
    """A column of text with up to `maximum` characters, of which an operation's cost takes account."""
    return strawberry_django.field(field_cls=Column, metadata={WEIGHT: 1 + maximum // TEXT})


@reads("pk")
def _global_ids(rows: Sequence[Any], info: Any) -> list[str]:
    ids: list[str] = []
    for _, same in groupby(rows, type):
        row, *others = same
        ids += global_ids(row._meta.object_name, [row.pk, *map(attrgetter("pk"), others)])
    return ids


@strawberry.interface(description="Anything that has an id of its own, and that `node` can find.")
class Node:
    id: strawberry.ID = batch_field(
        _global_ids,
        description="Opaque, unique in this API, and stable.",
    )


@dataclass_transform(kw_only_default=True)
def model_type(model: type[Model], *, description: str) -> Callable[[T], T]:
    """A node of the API named like `model`. Fields typed `auto` take type and description from the model's."""

    def is_type_of(row: Any, info: Any) -> bool:
        meta = getattr(row, "_meta", None)
        return meta is not None and meta.concrete_model is model

    is_type_of.by_class = True  # type: ignore[attr-defined]  # for the engine: it need not ask for each row

    def decorate(cls: T) -> T:
        cls.is_type_of = staticmethod(is_type_of)  # type: ignore[attr-defined]
        made = strawberry_django.type(model, name=model.__name__, field_cls=Column, description=description)
        return made(cls)

    return decorate


def extend(target: type) -> Callable[[type], type]:
    """Add the decorated class's fields to the API's type `target`, which belongs to a slice further down.

    The slices import each other one way only, but a user's posts are a field of the user.
    """

    def decorate(extension: type) -> type:
        fields = get_object_definition(strawberry.type(extension), strict=True).fields
        get_object_definition(target, strict=True).fields.extend(fields)
        return extension

    return decorate


def given(input: object, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of a Strawberry input as keyword arguments for a service."""
    fields = get_object_definition(type(input), strict=True).fields
    values = {field.python_name: getattr(input, field.python_name) for field in fields}
    return {name: value for name, value in values.items() if value is not UNSET and name not in without}
