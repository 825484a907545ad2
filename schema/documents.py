"""Documents: parsed, checked and measured once, however often they are asked for."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NamedTypeNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from graphql.validation import ASTValidationRule
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from schema.cost import Cost
from schema.errors import RequestError, RequestErrorCode, bad_input
from schema.gate import is_open

# Every key of an answer is one; so are more, which does no harm.
WORD = re.compile(r"\w+")
MAX_DOCUMENTS = 1_000
# Of their texts. A parsed document takes some fifty times the room of its text, which is 40 MB at most.
MAX_BYTES = 800_000
# Longer ones are rare, and would push all others out.
MAX_BYTES_OF_ONE = 20_000
# Each is told with its place in the text, which is looked for from the beginning, and of a variable with its value,
# of which graphql-core makes a copy each time.
MAX_ERRORS = 20
# As many as the tokens that are taken by default. To tell where an error is, graphql-core counts lines from the first.
MAX_LINES = 5_000


class Refused(Exception):
    """The document, or what was asked for of it, cannot be run. `errors` say why, as clients read them.

    They are about the document, or came out of its beginning to be `executed`: about values, or a resolver's.
    """

    def __init__(self, errors: Sequence[GraphQLError], *, executed: bool = False) -> None:
        super().__init__(errors)
        self.errors = errors
        self.executed = executed


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of a valid document."""

    document: DocumentNode
    node: OperationDefinitionNode
    cost: Cost
    # Characters that the keys of its answer have at most.
    longest_key: int
    # The variables that steer @include and @skip, and may be null.
    steering: set[str]
    # Whether everybody may run it, even where PUBLIC_READS is false.
    is_open: bool

    @property
    def is_mutation(self) -> bool:
        return self.node.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        return self.node.operation is OperationType.SUBSCRIPTION

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None

    def admit(self, viewer: object | None) -> None:
        """Raises UNAUTHENTICATED for nobody where PUBLIC_READS is false, unless the operation is open."""
        if viewer is None and not (settings.PUBLIC_READS or self.is_open):
            raise RequestError(RequestErrorCode.UNAUTHENTICATED, "Sign in first.")

    def checked_cost(self, variables: dict[str, Any]) -> int:
        """How many values the operation may give. Raises Refused for more than GRAPHQL_MAX_COST.

        Raises BAD_USER_INPUT for a null where @include or @skip want true or false: a type cannot say so.
        """
        for name in self.steering & variables.keys():
            if variables[name] is None:
                raise bad_input(f"`${name}` decides what is selected: it must be true or false, not null.")
        cost, limit = self.cost.of(variables), settings.GRAPHQL_MAX_COST
        if cost > limit:
            message = (
                f"The operation is too complex: it may give {cost:,} values, at most {limit:,}. Ask for smaller pages."
            )
            raise Refused([_too_complex(message, self.node)])
        return cost


class Documents:
    """The valid documents of a schema. The least recently used are forgotten beyond 1,000, or 200,000 characters.

    Nothing of a request is kept with them. What is refused is looked at again each time. With `hide_suggestions` no
    error says which name may have been meant: it would tell, name by name, what introspection does not.
    """

    def __init__(
        self, schema: GraphQLSchema, rules: Sequence[type[ASTValidationRule]], *, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        self._hide_suggestions = hide_suggestions
        self._rules = (*specified_rules, *rules, MaybeNullValidationRule, OneOfInputValidationRule)
        self._known: OrderedDict[tuple[object, ...], tuple[Operation, ...]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def operation(self, source: str, name: str | None) -> Operation:
        """The operation called `name` in the document `source`, or its only one. Raises Refused or BAD_USER_INPUT."""
        operations = self._operations(source)
        if name is not None:
            for operation in operations:
                if operation.name == name:
                    return operation
            raise bad_input("The document has no operation of this name.")
        if len(operations) > 1:
            message = "Give an `operationName`: the document has several operations."
            raise Refused([GraphQLError(message, [operation.node for operation in operations])])
        if not operations:
            raise bad_input("The document has no operation.")
        return operations[0]

    def _operations(self, source: str) -> tuple[Operation, ...]:
        length, limit = len(source), settings.GRAPHQL_MAX_DOCUMENT_LENGTH
        if length > limit:
            raise Refused([_too_complex(f"The document has {length:,} characters, at most {limit:,} are taken.")])
        lines = source.count("\n") + source.count("\r") - source.count("\r\n")
        if lines > MAX_LINES:
            raise Refused([_too_complex(f"The document has {lines:,} line breaks, at most {MAX_LINES:,} are taken.")])
        # The limits are part of the verdict.
        known = (
            source,
            settings.GRAPHQL_MAX_TOKENS,
            settings.GRAPHQL_MAX_DEPTH,
            settings.GRAPHQL_MAX_ALIASES,
            settings.GRAPHQL_MAX_PAGE_SIZE,
        )
        operations = self._known.get(known)
        if operations is not None:
            self._known.move_to_end(known)
            return operations
        operations = self._checked(source)
        # A character of Python's takes up to four bytes.
        size = 4 * len(source)
        if size <= MAX_BYTES_OF_ONE:
            self._known[known] = operations
            self._bytes += size
            while len(self._known) > MAX_DOCUMENTS or self._bytes > MAX_BYTES:
                (oldest, *_), _ = self._known.popitem(last=False)
                self._bytes -= 4 * len(str(oldest))
        return operations

    def _checked(self, source: str) -> tuple[Operation, ...]:
        try:
            document = parse(source, max_tokens=settings.GRAPHQL_MAX_TOKENS)
            errors = validate(self._schema, document, self._rules, MAX_ERRORS, self._hide_suggestions)
        except GraphQLError as error:
            raise Refused([error]) from None
        except Exception as error:  # noqa: BLE001  (a scalar's opinion of a literal, a document nested too deeply)
            raise Refused([GraphQLError(str(error), original_error=error)]) from None
        if errors:
            raise Refused(_explained(errors))
        longest_key = max(map(len, WORD.findall(source)), default=0)
        steering = _steering(document) if "@" in source else set()
        return tuple(
            Operation(
                document,
                node,
                Cost(self._schema, document, node),
                longest_key,
                steering & _booleans(node),
                is_open(self._schema, document, node),
            )
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        )


class _Steering(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        if node.name.value in {"include", "skip"}:
            self.names |= {
                each.value.name.value for each in node.arguments or () if isinstance(each.value, VariableNode)
            }


def _steering(document: DocumentNode) -> set[str]:
    """The variables that stand in @include and @skip."""
    visitor = _Steering()
    visit(document, visitor)
    return visitor.names


def _booleans(operation: OperationDefinitionNode) -> set[str]:
    """The Boolean variables that may be null."""
    return {
        each.variable.name.value
        for each in operation.variable_definitions or ()
        if isinstance(each.type, NamedTypeNode) and each.type.name.value == "Boolean"
    }


def _too_complex(message: str, node: Node | None = None) -> GraphQLError:
    return GraphQLError(message, node, original_error=RequestError(RequestErrorCode.QUERY_TOO_COMPLEX, message))


def _explained(errors: list[GraphQLError]) -> list[GraphQLError]:
    """`errors`, the last of which may be that graphql-core has given up: after MAX_ERRORS others, or for the work."""
    *others, last = errors
    if len(others) < MAX_ERRORS and type(last) is ValidationAbortedError and last.original_error is None:
        last = _too_complex("The operation is too complex: too many fields, or fragments, in one place.")
    return [*others, last]
