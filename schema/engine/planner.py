"""Makes a plan of an operation, or says that it is not one for this engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from inspect import iscoroutinefunction
from typing import Any

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from schema.engine import internals
from schema.engine.plan import AnyOf, Field, Many, One, Output, Plan, Selection, attributes_below

CHARACTERS_OF_A_FIELD = 20


class NotCovered(Exception):
    """The operation holds something that the stock executor has to do."""


class Planner:
    """Plans one operation of `executor`, whose variables are coerced by now."""

    def __init__(self, executor: internals.Executor) -> None:
        self._executor = executor
        self._schema = executor.schema
        # Fields of an interface are selected by the same nodes for each of its types: what lies below is planned once.
        self._selections: dict[Hashable, Selection] = {}
        self._fields = 0

    def plan(self) -> Plan:
        """Raises NotCovered, and RecursionError for selections nested too deeply."""
        operation = self._executor.operation
        root_type = self._schema.get_root_type(operation.operation)
        if root_type is None:
            raise NotCovered
        root = self._selection(root_type, internals.root_fields(self._executor, root_type))
        return Plan(root, operation.operation is OperationType.MUTATION, self._fields)

    def _selection(self, selected: GraphQLObjectType, collected: internals.Collected) -> Selection:
        if collected.new_defer_usages:
            raise NotCovered
        fields = [
            field
            for key, details in collected.grouped_field_set.items()
            if (field := self._field(selected, key, details)) is not None
        ]
        self._fields += len(fields)
        return Selection(selected, fields)

    def _field(self, parent: GraphQLObjectType, key: str, details: internals.Details) -> Field | None:
        if any(detail.fragment_variable_values for detail in details):
            raise NotCovered
        nodes = [detail.node for detail in details]
        if any(directive.name.value == "stream" for node in nodes for directive in node.directives or ()):
            raise NotCovered
        name = nodes[0].name.value
        if name in {"__schema", "__type"}:
            raise NotCovered
        definition = self._schema.get_field(parent, name)
        if definition is None:
            return None
        field = internals.classified(self._executor, definition, key, nodes, parent)
        if not any(_holds_variable(argument.value) for argument in nodes[0].arguments or ()):
            field.arguments = internals.coerced_arguments(self._executor, definition, nodes[0])
        field.output = self._output(definition, definition.type, details)
        field.attributes = attributes_below(field.output)
        return field

    def _output(self, definition: GraphQLField, given: Any, details: internals.Details) -> Output:
        nullable = not is_non_null_type(given)
        output_type = given if nullable else given.of_type
        if is_list_type(output_type):
            return Many(nullable, self._output(definition, output_type.of_type, details))
        if is_leaf_type(output_type):
            return internals.leaf(nullable, output_type)
        if is_object_type(output_type):
            return self._one(nullable, output_type, details)
        if is_abstract_type(output_type):
            return self._any_of(nullable, output_type, details)
        raise NotCovered

    def _one(self, nullable: bool, selected: GraphQLObjectType, details: internals.Details) -> One:
        if iscoroutinefunction(selected.is_type_of):
            raise NotCovered
        known = (selected.name, *(id(detail.node) for detail in details))
        if known not in self._selections:
            self._selections[known] = self._selection(
                selected, internals.fields_below(self._executor, selected, details)
            )
        return One(nullable, self._selections[known], selected.is_type_of)

    def _any_of(self, nullable: bool, abstract: GraphQLAbstractType, details: internals.Details) -> AnyOf:
        possible = self._schema.get_possible_types(abstract)
        if iscoroutinefunction(abstract.resolve_type) or any(iscoroutinefunction(each.is_type_of) for each in possible):
            raise NotCovered
        # The objects' own nullability: that of the position is the interface's.
        types = {each.name: self._one(True, each, details) for each in possible}
        return AnyOf(nullable, internals.type_resolver(self._executor, abstract, details), types)


def _holds_variable(value: Any) -> bool:
    if isinstance(value, VariableNode):
        return True
    inner = getattr(value, "values", None) or [field.value for field in getattr(value, "fields", None) or ()]
    return any(_holds_variable(each) for each in inner)


class Plans:
    """The plans of a process, least recently used ones forgotten beyond `max_weight`.

    A field weighs 1, or as much of the document's text as a field takes: some 2 KB of memory, so that all are 40 MB.

    A plan holds its operation, so that no other can have the id that it is known by. None stands for an operation
    that is not covered.
    """

    def __init__(self, max_weight: int = 20_000) -> None:
        self._max_weight = max_weight
        self._plans: OrderedDict[Hashable, tuple[object, OperationDefinitionNode, Plan | None]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._plans)

    def of(self, executor: internals.Executor) -> Plan | None:
        """The plan of the executor's operation; None when the stock executor has to run it."""
        operation = executor.operation
        known = (id(executor.schema), id(operation), *internals.steering_values(executor))
        if known in self._plans:
            self._plans.move_to_end(known)
            return self._plans[known][2]
        try:
            plan = Planner(executor).plan()
        except (NotCovered, RecursionError, GraphQLError):  # the last: a directive whose argument is null
            plan = None
        self._plans[known] = executor.schema, operation, plan
        self._weight += _weight(plan, operation)
        while self._weight > self._max_weight:
            _, (_, forgotten, its_plan) = self._plans.popitem(last=False)
            self._weight -= _weight(its_plan, forgotten)
        return plan


def _weight(plan: Plan | None, operation: OperationDefinitionNode) -> int:
    """A plan keeps its operation, and that the document's text and all of its tokens: comments and repetitions, too."""
    text = operation.loc.source.body if operation.loc else ""
    return 1 + max(plan.field_count if plan else 1, len(text) // CHARACTERS_OF_A_FIELD)
