"""Documents that would cost too much are refused before they are validated in full, let alone executed."""

from typing import Any

from django.conf import settings
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from graphql.validation import ASTValidationRule, ValidationContext
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from schema.errors import RequestError, RequestErrorCode

# graphql-core compares every two fields that land in one place, and by default gives up after 3 seconds of it.
# This is a tenth of a second; 200 times the same field in one place stay below it.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 40_000


class LimitsRule(ASTValidationRule):
    """Refuses an operation deeper than GRAPHQL_MAX_DEPTH, or with more aliases than GRAPHQL_MAX_ALIASES.

    Introspection is measured like anything else: the standard query of GraphiQL is 13 deep.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments: dict[str, FragmentDefinitionNode] = {}
        self._measured: dict[str, tuple[int, int]] = {}

    def enter_document(self, node: DocumentNode, *_: Any) -> None:
        """Measure every operation, each fragment once: a fragment that spreads others twice is cheap to refuse."""
        for definition in node.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                self._fragments[definition.name.value] = definition
        for definition in node.definitions:
            if isinstance(definition, OperationDefinitionNode):
                depth, aliases = self._measure(definition.selection_set, ())
                self._check("deep", depth, settings.GRAPHQL_MAX_DEPTH, definition)
                self._check("aliased fields", aliases, settings.GRAPHQL_MAX_ALIASES, definition)

    def _check(self, what: str, measured: int, limit: int, node: OperationDefinitionNode) -> None:
        if measured > limit:
            error = RequestError(
                RequestErrorCode.QUERY_TOO_COMPLEX,
                f"The operation is too complex: {measured} {what}, at most {limit}.",
            )
            raise ValidationAbortedError(str(error), node, original_error=error)

    def _measure(self, selections: SelectionSetNode | None, spread: tuple[str, ...]) -> tuple[int, int]:
        """Depth and aliases below `selections`, with all fragments spread out; `spread` are those we are inside of."""
        depth = aliases = 0
        for selection in selections.selections if selections else ():
            below, more = self._measure_selection(selection, spread)
            depth, aliases = max(depth, below), aliases + more
        return depth, aliases

    def _measure_selection(self, selection: Any, spread: tuple[str, ...]) -> tuple[int, int]:
        if isinstance(selection, FieldNode):
            depth, aliases = self._measure(selection.selection_set, spread)
            return depth + 1, aliases + (selection.alias is not None)
        if isinstance(selection, InlineFragmentNode):
            return self._measure(selection.selection_set, spread)
        name = selection.name.value
        if name in spread or name not in self._fragments:
            return 0, 0  # other rules report circles and unknown fragments
        if name not in self._measured:
            self._measured[name] = self._measure(self._fragments[name].selection_set, (*spread, name))
        return self._measured[name]
