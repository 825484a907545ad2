"""The beginning of a subscription: what its field wants to be told of. Its events are executed like queries."""

from typing import Any

from graphql import GraphQLError, located_error
from graphql.pyutils import Path

from schema.engine import internals


async def opened(executor: Any) -> Any:
    """What the opener of the operation's only field gives: see `live_field`.

    Raises GraphQLError, at the field, for arguments that it does not take and for whatever the opener raises.
    """
    field = internals.only_field(executor)
    path = Path(None, field.key, field.parent_type.name)
    field.resolve = field.resolve.opening  # type: ignore[attr-defined]
    try:
        return await internals.call_batch(executor, field, [None], internals.level_info(executor, field, path))
    except GraphQLError as error:
        raise error if error.path else located_error(error, field.nodes, path.as_list()) from error
    except Exception as error:
        raise located_error(error, field.nodes, path.as_list()) from error
