"""What a server tells of its schema, with introspection and without."""

from typing import Any

import pytest
import strawberry

from schema.tests.mounted import mounted

pytestmark = pytest.mark.django_db


@strawberry.input
class Wish:
    hidden_part: str = ""


@strawberry.type
class Query:
    @strawberry.field
    def hidden_field(self, wish: Wish | None = None, hidden_argument: int = 0) -> str:
        return "found"


@pytest.mark.parametrize("query", ["{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }'])
async def test_the_schema_can_be_asked_for_or_not(settings: Any, query: str) -> None:
    async with mounted(Query) as api:
        assert "Query" in str((await api(query)).data)
    settings.GRAPHQL_INTROSPECTION = False
    async with mounted(Query) as api:
        assert set((await api(query)).codes) == {"GRAPHQL_VALIDATION_FAILED"}
        assert (await api("{ __typename hiddenField }")).data == {"__typename": "Query", "hiddenField": "found"}


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ hiddenFeild }", {}),
        ("{ hiddenField(hiddenArgumnt: 1) }", {}),
        ('{ hiddenField(wish: {hiddenPrt: "x"}) }', {}),
        ("query($wish: Wishh) { hiddenField(wish: $wish) }", {}),
        ("query($wish: Wish) { hiddenField(wish: $wish) }", {"wish": {"hiddenPrt": "x"}}),
        ("{ ... on Quer { hiddenField } }", {}),
    ],
)
async def test_who_may_not_ask_for_the_schema_is_not_told_it_name_by_name(
    settings: Any, query: str, variables: dict[str, Any]
) -> None:
    async with mounted(Query) as api:
        assert "Did you mean" in str((await api(query, **variables)).body["errors"])
    settings.GRAPHQL_INTROSPECTION = False
    async with mounted(Query) as api:
        answer = await api(query, **variables)
        assert answer.codes == ["GRAPHQL_VALIDATION_FAILED" if not variables else "BAD_USER_INPUT"]
        assert "Did you mean" not in str(answer.body)
