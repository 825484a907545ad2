"""Selection sets written from the schema, so that no field of any type can be forgotten."""

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_leaf_type,
    parse,
    visit,
)

from schema.root import schema

TYPES = schema._schema.type_map
QUERY = TYPES["Query"]
INTERNAL_TYPES = {"Query", "Mutation", "Subscription"}


def root_fields() -> dict[str, GraphQLField]:
    """The fields of Query."""
    assert isinstance(QUERY, GraphQLObjectType)
    fields: dict[str, GraphQLField] = QUERY.fields
    return fields


def node_types() -> list[str]:
    """The types that `node` can find."""
    return sorted(kind.name for kind in TYPES.values() if isinstance(kind, GraphQLObjectType) and _is_node(kind))


def selection_of(field: GraphQLField, levels: int) -> str:
    """The selection set below `field`: all its leaves, and `levels` relations further down. Arguments stay default."""
    return _selection(get_named_type(field.type), levels)


def selection_of_type(name: str, levels: int) -> str:
    """The same below a field that gives the type called `name`."""
    return _selection(TYPES[name], levels)


def leads_to_rows(field: GraphQLField) -> bool:
    """Whether `field` reaches rows of other types than its parent's own."""
    return not is_leaf_type(get_named_type(field.type))


def ways_to(*names: str) -> set[str]:
    """The fields, as `Tag.posts`, that give rows of the types called `names`: one, a list or a page."""
    given = {"Node", *names, *(f"{name}Connection" for name in names)}
    return {
        f"{kind.name}.{name}"
        for kind in TYPES.values()
        if isinstance(kind, GraphQLObjectType) and (kind.name in {"Query", "Subscription"} or _is_node(kind))
        for name, field in kind.fields.items()
        if get_named_type(field.type).name in given
    }


def ways_in(operation: str) -> set[str]:
    """The fields, as `Tag.posts`, that `operation` selects something of."""
    types = TypeInfo(schema._schema)
    found: set[str] = set()

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            parent = types.get_parent_type()
            if parent is not None and node.selection_set:
                found.add(f"{parent.name}.{node.name.value}")

    visit(parse(operation), TypeInfoVisitor(types, Fields()))
    return found


def _selection(kind: GraphQLNamedType, levels: int) -> str:
    if is_leaf_type(kind):
        return ""
    if isinstance(kind, GraphQLInterfaceType):
        fragments = (f"... on {name} {_selection(TYPES[name], levels)}" for name in node_types())
        return "{ __typename " + " ".join(fragments) + " }"
    assert isinstance(kind, GraphQLObjectType)
    if kind.name.endswith("Connection"):
        # Both ways to the rows; one of them goes deeper.
        return "{ edges { cursor node { id } } nodes " + _selection(_row_type(kind), levels) + _ends(kind)
    selected = [
        f"{name} {_selection(get_named_type(field.type), levels - 1)}"
        for name, field in kind.fields.items()
        if levels or not leads_to_rows(field)
    ]
    return "{ " + " ".join(selected) + " }"


def _row_type(connection: GraphQLObjectType) -> GraphQLNamedType:
    nodes: GraphQLField = connection.fields["nodes"]
    return get_named_type(nodes.type)


def _ends(connection: GraphQLObjectType) -> str:
    known = {"edges", "nodes", "pageInfo", "totalCount"}
    assert connection.fields.keys() == known, "selections.py has to learn about this connection's new field"
    page_info = _selection(get_named_type(connection.fields["pageInfo"].type), 0)
    return f" pageInfo {page_info} totalCount }}"


def _is_node(kind: GraphQLObjectType) -> bool:
    return any(interface.name == "Node" for interface in kind.interfaces)
