"""How many values an operation may give at most, estimated from its page sizes before anything is read."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    get_operation_ast,
    value_from_ast_untyped,
)
from graphql.type import GraphQLNamedType, is_composite_type, is_list_type, is_non_null_type
from strawberry.extensions import SchemaExtension

from schema.errors import RequestError, RequestErrorCode
from schema.relay import DEFAULT_PAGE_SIZE

# Lists that are not connections are short by their nature: a post's tags, a user's sessions.
SHORT_LIST = 10
WRAPPERS = ("Connection", "Edge")


class CostLimit(SchemaExtension):
    """Refuses a valid operation that may give more than GRAPHQL_MAX_COST values, with QUERY_TOO_COMPLEX."""

    def on_execute(self) -> Iterator[None]:
        context = self.execution_context
        document, schema = context.graphql_document, context.schema._schema  # noqa: SLF001  (it has no other name)
        operation = get_operation_ast(document, context.operation_name) if document else None
        if document and operation:
            cost = _Estimate(schema, document, operation, context.variables or {}).cost
            if cost > settings.GRAPHQL_MAX_COST:
                raise _refusal(cost, operation)
        yield


def _refusal(cost: int, operation: OperationDefinitionNode) -> GraphQLError:
    limit = settings.GRAPHQL_MAX_COST
    message = f"The operation is too complex: it may give {cost:,} values, at most {limit:,}. Ask for smaller pages."
    error = RequestError(RequestErrorCode.QUERY_TOO_COMPLEX, message)
    return GraphQLError(message, operation, original_error=error)


class _Estimate:
    """Counts values below a selection, objects and leaves alike: page sizes multiply, siblings add."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: dict[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        defaults = {
            definition.variable.name.value: value_from_ast_untyped(definition.default_value)
            for definition in operation.variable_definitions or ()
            if definition.default_value is not None
        }
        self._variables = defaults | variables
        self._spread: dict[str, int] = {}
        self.cost = self._of(operation.selection_set, schema.get_root_type(operation.operation))

    def _of(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> int:
        return sum(self._of_selection(selection, parent) for selection in (selections.selections if selections else ()))

    def _of_selection(self, selection: Any, parent: GraphQLNamedType | None) -> int:
        if isinstance(selection, FieldNode):
            return self._of_field(selection, parent)
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in self._spread:
                fragment = self._fragments[name]
                on = self._schema.get_type(fragment.type_condition.name.value)
                self._spread[name] = self._of(fragment.selection_set, on)
            return self._spread[name]
        on = self._schema.get_type(selection.type_condition.name.value) if selection.type_condition else parent
        return self._of(selection.selection_set, on)

    def _of_field(self, field: FieldNode, parent: GraphQLNamedType | None) -> int:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 0
        definition = self._schema.get_field(parent, field.name.value)
        if definition is None or field.name.value.startswith("__") or parent.name.startswith("__"):
            return 0  # introspection reads no rows
        if not is_composite_type(inner := get_named_type(definition.type)):
            return 1
        below = self._of(field.selection_set, inner)
        if parent.name.endswith(WRAPPERS):
            return below
        return self._size(field, definition.type, inner.name) * (1 + below)

    def _size(self, field: FieldNode, field_type: Any, name: str) -> int:
        """How many objects the field gives at most: a page, the ids that were asked for, a short list, or one."""
        given = {
            argument.name.value: value_from_ast_untyped(argument.value, self._variables)
            for argument in field.arguments or ()
        }
        if name.endswith(WRAPPERS):
            return _page(given.get("first") or given.get("last") or DEFAULT_PAGE_SIZE)
        if not is_list_type(field_type.of_type if is_non_null_type(field_type) else field_type):
            return 1
        ids = given.get("ids")
        return _page(len(ids)) if isinstance(ids, list) else SHORT_LIST


def _page(size: object) -> int:
    """What `size` can amount to. GraphQL takes 100.0 for 100, and what is no page is refused by its field."""
    largest: int = settings.GRAPHQL_MAX_PAGE_SIZE
    return size if type(size) is int and 1 <= size <= largest else largest
