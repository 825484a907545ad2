"""What anonymous clients may do where PUBLIC_READS is false: sign in, and what else is declared open."""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
)

# In the extensions of a root field: whether it is for everybody, always.
OPEN = "open"


def is_open(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> bool:
    """Whether all root fields of the valid `operation` are open. What @skip leaves out counts all the same.

    Introspection is open: it tells of types, never of rows, and GRAPHQL_INTROSPECTION turns it off.
    """
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    fields = schema.get_root_type(operation.operation).fields  # type: ignore[union-attr]  # a valid one has its type
    pending = [operation.selection_set]
    while pending:
        selection: Any
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                name = selection.name.value
                if not (name.startswith("__") or fields[name].extensions.get(OPEN)):
                    return False
            elif isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif fragment := fragments.pop(selection.name.value, None):  # looked at once, however often it is spread
                pending.append(fragment.selection_set)
    return True
