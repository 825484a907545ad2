"""Everything that touches private parts of graphql-core and Strawberry, for the versions in VERSIONS.

`tests/test_internals.py` fails on other versions: read this module against their sources, then change VERSIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import strawberry
from graphql import (
    FieldNode,
    GraphQLAbstractType,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    NamedTypeNode,
    NonNullTypeNode,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.executor import invalid_return_type_error
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path, is_async_iterable
from graphql.type.scalars import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema import _OperationContextAwareGraphQLResolveInfo as StrawberryResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from schema.engine.fields import BatchField
from schema.engine.plan import Field, Kind, Leaf

if TYPE_CHECKING:
    from schema.engine.plan import Attributes

VERSIONS = {"graphql-core": "3.3.2", "strawberry-graphql": "0.341.2"}

# What GraphQL's own scalars give as it is. Python's numbers have no bounds, GraphQL's do.
PLAIN = ((GraphQLString, str), (GraphQLID, str), (GraphQLBoolean, bool), (GraphQLInt, int))
SHORT = (GraphQLID, GraphQLBoolean, GraphQLInt, GraphQLFloat)
# Arguments of these types can be handed out again and again.
UNCHANGING = (str, int, float, bool, Enum, type(None))

Collected: TypeAlias = CollectedFields
Details: TypeAlias = list[FieldDetails]


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor as Strawberry makes it for a request, with its document and variables."""


class LevelInfo(StrawberryResolveInfo):
    """graphql-core's info for all objects of a level: its path goes through lists without their indices."""

    attributes: Attributes

    def attributes_read(self, type_name: str) -> frozenset[str] | None:
        return self.attributes.get(type_name, frozenset())


def attributes_read(info: strawberry.Info[Any, Any], type_name: str) -> frozenset[str] | None:
    """The attributes that the operation reads of the `type_name` objects that this field gives; None means any."""
    read: Callable[[str], frozenset[str] | None] | None = getattr(info._raw_info, "attributes_read", None)  # noqa: SLF001
    return read(type_name) if read else None


def covers(executor: Executor) -> bool:
    """Whether `executor` was asked for nothing that only graphql-core's own way of executing can give."""
    middleware = executor.middleware_manager
    return (
        # Strawberry passes a manager even when it manages nothing.
        (middleware is None or not middleware.middlewares)
        and executor.abort_signal is None
        and executor.hooks is None
        and executor.error_propagation
        # What graphql-core's and Strawberry's `execute_sync` replace: they cannot wait for anything.
        and executor.is_awaitable.__name__ != "assume_not_awaitable"
        and executor.is_async_iterable is is_async_iterable
    )


def steering_values(executor: Executor) -> list[object]:
    """The values of the Boolean variables: @include and @skip take no others."""
    coerced = executor.variable_values.coerced
    values = []
    for definition in executor.operation.variable_definitions or ():
        declared = definition.type.type if isinstance(definition.type, NonNullTypeNode) else definition.type
        if isinstance(declared, NamedTypeNode) and declared.name.value == "Boolean":
            values.append(coerced.get(definition.variable.name.value))
    return values


def root_fields(executor: Executor, root_type: GraphQLObjectType) -> Collected:
    return collect_fields(
        executor.schema,
        executor.fragments,
        executor.variable_values,
        root_type,
        executor.operation,
        executor.hide_suggestions,
    )


def fields_below(executor: Executor, selected: GraphQLObjectType, details: Details) -> Collected:
    return collect_subfields(
        executor.schema,
        executor.fragments,
        executor.variable_values,
        executor.operation,
        selected,
        details,
        executor.hide_suggestions,
    )


def classified(
    executor: Executor, definition: GraphQLField, key: str, nodes: list[FieldNode], parent: GraphQLObjectType
) -> Field:
    """The field with its kind and its resolver. What is not known to be batched is resolved one by one."""
    name = nodes[0].name.value
    resolve = definition.resolve or executor.field_resolver
    field: StrawberryField | None = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if name == "__typename":
        return Field(key, name, Kind.TYPENAME, nodes, parent, definition, resolve)
    if field is not None and _is_attribute(field, resolve):
        attribute = getattr(field, "django_name", None) or field.python_name
        return Field(key, name, Kind.ATTRIBUTE, nodes, parent, definition, attrgetter(attribute), attribute)
    if isinstance(field, BatchField) and not field.extensions and not _strawberry(executor.schema).exception_handlers:
        return Field(key, name, Kind.BATCH, nodes, parent, definition, field.batch_resolver, strawberry_field=field)
    return Field(key, name, Kind.EACH, nodes, parent, definition, resolve)


def only_field(executor: Executor) -> Field:
    """The root field of a subscription, which has one. Nothing is known yet of what is selected below."""
    root_type = cast("GraphQLObjectType", executor.schema.get_root_type(executor.operation.operation))
    [(key, details)] = root_fields(executor, root_type).grouped_field_set.items()
    nodes = [detail.node for detail in details]
    definition = cast("GraphQLField", executor.schema.get_field(root_type, nodes[0].name.value))
    field = classified(executor, definition, key, nodes, root_type)
    field.attributes = {}
    return field


def _is_attribute(field: StrawberryField, resolve: Any) -> bool:
    own = type(field).get_result is StrawberryField.get_result or getattr(field, "reads_attribute", False)
    return (
        own and field.is_basic_field and resolve.__name__ == "_get_basic_result" and field.default_resolver is getattr
    )


def _strawberry(schema: GraphQLSchema) -> strawberry.Schema:
    return schema._strawberry_schema  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001


def coerced_arguments(executor: Executor, definition: GraphQLField, node: FieldNode) -> dict[str, Any] | None:
    """The arguments as graphql-core coerces them; None when it refuses them, or when a resolver could change them."""
    try:
        coerced = get_argument_values(definition, node, executor.variable_values, None, executor.hide_suggestions)
    except Exception:  # noqa: BLE001  (the field fails with it, each time it is executed)
        return None
    return coerced if all(isinstance(value, UNCHANGING) for value in coerced.values()) else None


def _arguments(executor: Executor, field: Field) -> dict[str, Any]:
    """The field's arguments for this request. Raises GraphQLError for what the field does not take."""
    if field.arguments is not None:
        return field.arguments
    return get_argument_values(
        field.definition, field.nodes[0], executor.variable_values, None, executor.hide_suggestions
    )


def call_each(executor: Executor, field: Field, parent: Any, info: LevelInfo) -> Any:
    """What the resolver gives for one parent. What it could change of its arguments is its own."""
    return field.resolve(parent, info, **_arguments(executor, field))


def level_info(executor: Executor, field: Field, path: Path) -> LevelInfo:
    """What a resolver of `field` may know, with the attributes that are read of what it gives."""
    info = LevelInfo(
        field.name,
        field.nodes,
        field.definition.type,
        field.parent_type,
        path,
        executor.schema,
        executor.fragment_definitions,
        executor.root_value,
        executor.operation,
        executor.variable_values.coerced,
        executor.context_value,
        executor.is_awaitable,
        executor.abort_signal,
        executor.async_helpers,
        executor.operation_extensions,
    )
    info.attributes = field.attributes
    return info


def call_batch(executor: Executor, field: Field, parents: list[Any], info: LevelInfo) -> Any:
    """What the batch resolver gives for `parents`: values, or a coroutine of them."""
    config = _strawberry(executor.schema).config
    strawberry_info = config.info_class(_raw_info=cast("Any", info), _field=field.strawberry_field)
    keywords = field.keywords
    if keywords is None:
        keywords = convert_arguments(
            _arguments(executor, field),
            field.strawberry_field.arguments,
            scalar_registry=_strawberry(executor.schema).schema_converter.scalar_registry,
            config=config,
            info=strawberry_info,
        )
        if field.arguments is not None:
            field.keywords = keywords
    return field.resolve(parents, strawberry_info, **keywords)


def leaf(nullable: bool, leaf_type: GraphQLLeafType) -> Leaf:
    """How values of the type are completed."""
    complete = Executor.complete_leaf_value
    plain = {kind for scalar, kind in PLAIN if scalar is leaf_type} | set(getattr(leaf_type.serialize, "plain", ()))
    bounds = (GRAPHQL_MIN_INT, GRAPHQL_MAX_INT) if leaf_type is GraphQLInt else None
    if nullable and bounds is None:
        plain.add(type(None))
    is_open = not isinstance(leaf_type, GraphQLEnumType) and leaf_type not in SHORT
    coerce = leaf_type.coerce_output_value
    swift: dict[type, Callable[[Any], Any]] = {int: str} if leaf_type is GraphQLID else {}
    return Leaf(nullable, coerce, partial(complete, leaf_type), swift, frozenset(plain), bounds, is_open)


def let_go(executor: Executor) -> None:
    """Break the circle of an executor that has done its work and its helpers, which are methods of its own.

    Otherwise all that a request has held would wait for the garbage collector, and the requests for it.
    """
    executor.async_helpers = None  # type: ignore[assignment]  # nobody asks for them any more


def type_resolver(
    executor: Executor, abstract: GraphQLAbstractType, details: Details
) -> Callable[[Any, Any], GraphQLObjectType]:
    """Tells the object type of a value, with graphql-core's checks and messages. Holds no executor."""
    resolve_type = abstract.resolve_type or executor.type_resolver
    schema, ensure = executor.schema, Executor.ensure_valid_runtime_type

    # All that the check looks at of its executor. That one is a request's, and plans outlive requests.
    holder: Any = SimpleNamespace(schema=schema)

    def type_of(value: Any, info: Any) -> GraphQLObjectType:
        return ensure(holder, resolve_type(value, info, abstract), abstract, details, info, value)

    return type_of


def not_of_type(expected: GraphQLObjectType, value: Any, nodes: list[FieldNode]) -> GraphQLError:
    """The error for a value that the type's `is_type_of` has refused."""
    return invalid_return_type_error(expected, value, [FieldDetails(node, None) for node in nodes])
