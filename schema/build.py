"""Strawberry's schema with the settings of this API."""

from collections.abc import Sequence
from typing import Any, cast

import strawberry
from django.conf import settings
from graphql import (
    ExecutionResult,
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    Undefined,
)
from graphql.validation import ASTValidationRule, NoSchemaIntrospectionCustomRule
from strawberry.execution import optimized_is_awaitable
from strawberry.types import ExecutionContext

from schema.cost import WEIGHT
from schema.documents import MAX_ERRORS, Documents, Operation, Refused
from schema.engine import BreadthFirstExecutor, opened
from schema.gate import OPEN
from schema.limits import LimitsRule
from schema.scalars import CONFIG

# What a field of Strawberry's says of itself to this runtime.
KEPT = {WEIGHT, OPEN}


class Schema(strawberry.Schema):
    """Strawberry's, with a way of its own: `documents.operation`, its `admit` and `checked_cost`, then `run`.

    Strawberry's `execute` prepares each request anew, and knows none of this API's limits.
    """

    def __init__(
        self, *args: Any, rules: Sequence[type[ASTValidationRule]], hide_suggestions: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.documents = Documents(self._schema, rules, hide_suggestions=hide_suggestions)
        self._hide_suggestions = hide_suggestions

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: `schema.errors.format_errors` logs what is unexpected, once and with its request."""

    async def run(
        self, operation: Operation, variables: dict[str, Any], context: Any, root: object = None
    ) -> ExecutionResult:
        """The result of `operation`. Of a subscription it is that of one event, whose row is `root`."""
        executor = self._executor(operation, variables, context, root)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)  # graphql-core has refused the variables
        result: Any = executor.execute_operation()
        if not isinstance(result, ExecutionResult):
            result = await result
        return cast("ExecutionResult", result)

    async def opened(self, operation: Operation, variables: dict[str, Any], context: Any) -> Any:
        """What the field of the subscription `operation` wants to be told of: see `live_field`. Raises Refused."""
        executor = self._executor(operation, variables, context, None)
        if isinstance(executor, list):
            raise Refused(executor, executed=True)
        try:
            return await opened(executor)
        except GraphQLError as error:
            raise Refused([error], executed=True) from error

    def _executor(self, operation: Operation, variables: dict[str, Any], context: Any, root: object) -> Any:
        """graphql-core's, or what is wrong with the variables."""
        return self.execution_context_class.build(
            self._schema,
            operation.document,
            root_value=root,
            context_value=context,
            raw_variable_values=variables,
            operation_name=operation.name,
            is_awaitable=cast("Any", optimized_is_awaitable),
            max_coercion_errors=MAX_ERRORS,
            hide_suggestions=self._hide_suggestions,
        )


def build_schema(query: type, mutation: type, types: Sequence[Any], subscription: type | None = None) -> Schema:
    """The executable schema. GRAPHQL_INTROSPECTION and GRAPHQL_ENGINE are read here, GRAPHQL_MAX_* at each request."""
    rules: list[type[ASTValidationRule]] = [LimitsRule]
    if not settings.GRAPHQL_INTROSPECTION:
        rules.append(NoSchemaIntrospectionCustomRule)
    schema = Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=types,
        config=CONFIG,
        execution_context_class=BreadthFirstExecutor if settings.GRAPHQL_ENGINE == "breadth" else None,
        rules=rules,
        hide_suggestions=not settings.GRAPHQL_INTROSPECTION,
    )
    _drop_null_defaults(schema)
    _carry_over(schema)
    return schema


def _drop_null_defaults(schema: Schema) -> None:
    """`first: Int` instead of `first: Int = null`: a Python default of None says no more than "may be left out"."""
    for graphql_type in schema._schema.type_map.values():  # noqa: SLF001  (graphql-core's schema has no other name)
        if isinstance(graphql_type, GraphQLInputObjectType):
            optional: list[GraphQLInputField | GraphQLArgument] = list(graphql_type.fields.values())
        elif isinstance(graphql_type, GraphQLObjectType):
            optional = [argument for field in graphql_type.fields.values() for argument in field.args.values()]
        else:
            continue
        for value in optional:
            if value.default_value is None:
                value.default_value = Undefined


def _carry_over(schema: Schema) -> None:
    """Write into graphql-core's fields what those of Strawberry say of their values' weight and of the gate."""
    for graphql_type in schema._schema.type_map.values():  # noqa: SLF001
        if isinstance(graphql_type, GraphQLObjectType):
            for name, field in graphql_type.fields.items():
                declared = schema.get_field_for_type(name, graphql_type.name)
                if declared is not None:
                    field.extensions |= {key: declared.metadata[key] for key in KEPT & declared.metadata.keys()}
