"""How many values an operation may give at most, estimated from its page sizes before anything is read."""

from typing import Any

from django.conf import settings
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    value_from_ast_untyped,
)
from graphql.type import GraphQLNamedType, is_composite_type, is_list_type, is_non_null_type

from schema.relay import DEFAULT_PAGE_SIZE

# In the extensions of a field: for how many values one of its own counts.
WEIGHT = "weight"
# Characters of a text that counts as one value: what an operation selects has 200 million at most, by default.
TEXT = 4_000
# Lists that are not connections are short by their nature: a post's tags, a user's sessions.
SHORT_LIST = 10
# A tool asks for the schema once, or for a few of its types. It reads no rows, and what it selects is not looked at.
INTROSPECTION = 5_000
WRAPPERS = ("Connection", "Edge")
# The arguments that say how many objects a field gives.
SIZES = ("first", "last", "ids")


class Cost:
    """What one operation may give: the values below its selection, objects and leaves alike.

    Page sizes multiply, siblings add. A text that may be long counts as several.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._defaults = {
            definition.variable.name.value: value_from_ast_untyped(definition.default_value)
            for definition in operation.variable_definitions or ()
            if definition.default_value is not None
        }
        # What it always is, once that is known: None while it depends on the variables.
        self._always: int | None = None

    def of(self, variables: dict[str, Any]) -> int:
        """How many values the operation may give with these variables."""
        if self._always is not None:
            return self._always
        estimate = _Estimate(self._schema, self._fragments, self._defaults | variables)
        cost = estimate.of(self._operation.selection_set, self._schema.get_root_type(self._operation.operation))
        if not estimate.depends_on_variables:
            self._always = cost
        return cost


class _Estimate:
    def __init__(
        self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode], variables: dict[str, Any]
    ) -> None:
        self.depends_on_variables = False
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._spread: dict[str, int] = {}

    def of(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> int:
        return sum(self._of_selection(selection, parent) for selection in (selections.selections if selections else ()))

    def _of_selection(self, selection: Any, parent: GraphQLNamedType | None) -> int:
        if isinstance(selection, FieldNode):
            return self._of_field(selection, parent)
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in self._spread:
                fragment = self._fragments[name]
                on = self._schema.get_type(fragment.type_condition.name.value)
                self._spread[name] = self.of(fragment.selection_set, on)
            return self._spread[name]
        on = self._schema.get_type(selection.type_condition.name.value) if selection.type_condition else parent
        return self.of(selection.selection_set, on)

    def _of_field(self, field: FieldNode, parent: GraphQLNamedType | None) -> int:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            return 0
        definition = self._schema.get_field(parent, field.name.value)
        if field.name.value == "__typename":
            return 1
        if definition is None or parent.name.startswith("__"):
            return 0
        if field.name.value.startswith("__"):
            return INTROSPECTION
        if not is_composite_type(inner := get_named_type(definition.type)):
            weight: int = definition.extensions.get(WEIGHT, 1)
            return weight
        below = self.of(field.selection_set, inner)
        if parent.name.endswith(WRAPPERS):
            return below
        return self._size(field, definition.type, inner.name) * (1 + below)

    def _size(self, field: FieldNode, field_type: Any, name: str) -> int:
        """How many objects the field gives at most: a page, the ids that were asked for, a short list, or one."""
        given = {
            argument.name.value: argument.value for argument in field.arguments or () if argument.name.value in SIZES
        }
        self.depends_on_variables |= any(isinstance(value, VariableNode) for value in given.values())
        sizes = {name: value_from_ast_untyped(value, self._variables) for name, value in given.items()}
        if name.endswith(WRAPPERS):
            return _page(sizes.get("first") or sizes.get("last") or DEFAULT_PAGE_SIZE)
        if not is_list_type(field_type.of_type if is_non_null_type(field_type) else field_type):
            return 1
        ids = sizes.get("ids")
        return _page(len(ids)) if isinstance(ids, list) else SHORT_LIST


def _page(size: object) -> int:
    """What `size` can amount to. GraphQL takes 100.0 for 100, and what is no page is refused by its field."""
    largest: int = settings.GRAPHQL_MAX_PAGE_SIZE
    return size if type(size) is int and 1 <= size <= largest else largest
