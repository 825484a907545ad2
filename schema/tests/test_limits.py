"""Hostile documents are refused with a code, for little work, and without a statement."""

import json
import time
from typing import Any

import pytest
from graphql import get_introspection_query
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.documents import MAX_ERRORS, MAX_LINES, Refused
from schema.errors import ERRORS_MAX, RequestError, RequestErrorCode, code_of
from schema.request import MAX_VALUES
from schema.root import schema
from tests.api import Api

pytestmark = pytest.mark.django_db

# Seconds of CPU. What gets through a missing limit takes tens of them; what is refused, a fraction of one. No test of
# speed: the bound is far from both, so that neither coverage nor a busy machine makes a difference.
FAST = 15.0
PARSE, VALIDATE, COMPLEX, INPUT = (
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "QUERY_TOO_COMPLEX",
    "BAD_USER_INPUT",
)


def many(number: int, text: str) -> str:
    """`text` that many times; `%` stands for the number of each."""
    return " ".join(text.replace("%", str(place)) for place in range(number))


def on_posts(spread: str, fragments: str = "") -> str:
    return f"{{ posts {{ nodes {{ {spread} }} }} }} {fragments}"


def chain(length: int, link: str) -> str:
    """Fragments F0 to F`length`, each with `link`, whose `%` names the next one."""
    links = (f"fragment F{place} on Post {{ {link.replace('%', f'F{place + 1}')} }}" for place in range(length))
    return " ".join([*links, f"fragment F{length} on Post {{ id }}"])


HOSTILE = {
    "100,000 aliases": (COMPLEX, f"{{ {many(100_000, 'a%: __typename')} }}"),
    "1,600 aliases": (COMPLEX, f"{{ {many(1_600, 'a%: __typename')} }}"),
    "51 aliases in fragments": (COMPLEX, f"{{ ...A }} fragment A on Query {{ {many(51, 'a%: __typename')} }}"),
    "8,000 tokens": (PARSE, f"{{ {many(8_000, '__typename')} }}"),
    "4,900 comments": (PARSE, "#\n" * 4_900 + f"{{ {many(200, '__typename')} }}"),
    "49,000 comments": (COMPLEX, "#\n" * 49_000 + "{ __typename }"),
    "one field 4,900 times": (COMPLEX, f"{{ {many(4_900, '__typename')} }}"),
    "one tree 700 times": (COMPLEX, f"{{ {many(700, 'posts { nodes { id } }')} }}"),
    "one tree 400 times below": (COMPLEX, on_posts(many(400, "author { posts { nodes { id } } }"))),
    "one tree in 400 inline fragments": (
        COMPLEX,
        f'{{ node(id: "x") {{ {many(400, "... on Post { author { id } }")} }} }}',
    ),
    "380 conflicts": (
        COMPLEX,
        f"{{ {many(190, 'posts(first: 1) { nodes { id } } posts(first: 2) { nodes { id } }')} }}",
    ),
    "40 conflicts of one alias": (VALIDATE, f"{{ {many(40, 'a: posts(first: %) { nodes { id } }')} }}"),
    "fragments that double": (VALIDATE, on_posts("...F0 ...G", chain(60, "...% ...%"))),
    "fragments that double below": (COMPLEX, on_posts("...F0", chain(60, "author { posts { nodes { ...% ...% } } }"))),
    "a long chain of fragments": (COMPLEX, on_posts("...F0", chain(500, "...%"))),
    "fragments in a net": (COMPLEX, on_posts(many(240, "...N%"), many(240, "fragment N% on Post { ...N1 ...N2 }"))),
    "a circle": (VALIDATE, on_posts("...A", "fragment A on Post { ...B } fragment B on Post { ...A }")),
    "a circle of itself": (VALIDATE, on_posts("...A", "fragment A on Post { author { posts { nodes { ...A } } } }")),
    "many circles": (VALIDATE, on_posts("...C0", many(45, f"fragment C% on Post {{ {'...C1 ...C2 ' * 15} }}"))),
    "17 deep": (COMPLEX, f"{{ viewer {{ {'posts { nodes { author { ' * 5} id {'} } } ' * 5} }} }}"),
    "2,400 deep": (PARSE, "{a" * 2_400 + "}" * 2_400),
    "unclosed braces": (PARSE, "{" * 99_000),
    "inline fragments 1,200 deep": (PARSE, "{" + "...{" * 1_200 + "__typename" + "}" * 1_201),
    "a list literal 2,400 deep": (PARSE, f"{{ node(id: {'[' * 2_400}{']' * 2_400}) {{ id }} }}"),
    "an object literal 1,600 deep": (PARSE, f"{{ posts(filter: {'{a:' * 1_600}1{'}' * 1_600}) {{ nodes {{ id }} }} }}"),
    "a list type 2,000 deep": (PARSE, f"query($a: {'[' * 2_000}Int{']' * 2_000}) {{ __typename }}"),
    "99,000 brackets": (PARSE, "{ node(id: " + "[" * 99_000),
    "800 directives": (PARSE, f"{{ __typename {many(800, '@include(if: true)')} }}"),
    "700 directives": (VALIDATE, f"{{ __typename {many(700, '@include(if: true)')} }}"),
    "2,400 unknown directives": (VALIDATE, f"{{ __typename {many(2_400, '@x')} }}"),
    "4,900 unknown fields": (VALIDATE, f"{{ {many(4_900, 'x%')} }}"),
    "2,400 unknown fragments": (VALIDATE, f"{{ {many(2_400, '...x%')} }}"),
    "700 unused fragments": (VALIDATE, "{ __typename } " + many(700, "fragment F% on Post { id }")),
    "1,200 unused variables": (VALIDATE, f"query({many(1_200, '$v%: Int')}) {{ __typename }}"),
    "480 unknown variables": (VALIDATE, f"{{ {many(480, 'node(id: $v%) { id }')} }}"),
    "one argument 1,500 times": (VALIDATE, f"{{ posts({many(1_500, 'first: 1')}) {{ nodes {{ id }} }} }}"),
    "one input field 900 times": (
        VALIDATE,
        f"{{ posts(filter: {{ {many(900, 'search: %')} }}) {{ nodes {{ id }} }} }}",
    ),
    "a number of 99,000 digits": (VALIDATE, f"{{ posts(first: {'9' * 99_000}) {{ nodes {{ id }} }} }}"),
    "a fraction of 99,000 digits": (VALIDATE, f"{{ posts(first: 0.{'9' * 99_000}) {{ nodes {{ id }} }} }}"),
    "an enum of 99,000 letters": (VALIDATE, f"{{ posts(orderBy: {'A' * 99_000}) {{ nodes {{ id }} }} }}"),
    "a field of 99,000 letters": (VALIDATE, f"{{ {'a' * 99_000} }}"),
    "a field of 1,900,000 letters": (COMPLEX, f"{{ {'a' * 1_900_000} }}"),
    "100 fields of 900 letters": (VALIDATE, f"{{ {many(100, 'a' * 900 + '%')} }}"),
    "an id of 99,000 letters": (INPUT, f'{{ node(id: "{"x" * 99_000}") {{ id }} }}'),
    "a block string of 4,900 lines": (INPUT, '{ node(id: """' + "\n x" * 4_900 + '""") { id } }'),
    "a block string of 30,000 lines": (COMPLEX, '{ node(id: """' + "\n x" * 30_000 + '""") { id } }'),
    "a search of 99,000 letters": (
        INPUT,
        f'{{ posts(filter: {{search: "{"x" * 99_000}"}}) {{ nodes {{ id }} }} }}',
    ),
    "introspection in circles": (
        VALIDATE,
        "{ __schema { types" + " { fields { type" * 6 + " { name" + " } }" * 6 + " } } }",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_is_refused_for_little_work(api: Api, name: str) -> None:
    code, query = HOSTILE[name]
    started = time.process_time()
    answer = await api(query)
    took = time.process_time() - started
    assert answer.codes[0] == code, answer.body["errors"][0]["message"][:200]
    assert not answer.body.get("data") or not any(answer.body["data"].values())
    assert answer.statements == 0
    assert len(answer.codes) <= ERRORS_MAX
    assert len(json.dumps(answer.body)) < 100_000
    assert took < FAST


async def test_many_errors_in_one_answer_are_bounded(api: Api) -> None:
    ids = ["x" * 10_000] * 100
    query = f"query($ids: [ID!]!) {{ {many(50, 'a%: nodes(ids: $ids) { id }')} }}"
    started = time.process_time()
    answer = await api(query, ids=ids)
    assert time.process_time() - started < FAST
    assert answer.codes == [INPUT] * ERRORS_MAX
    assert len(json.dumps(answer.body["errors"])) < 100_000


DEEP = 100_000


@pytest.mark.parametrize(
    "variables",
    [
        '{"x": ' + "[" * DEEP + "]" * DEEP + "}",
        '{"x": ' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
        '{"x": ' + "[" * 1_000 + "]" * 1_000 + "}",
        '{"x": ' + '{"a":' * 1_000 + "1" + "}" * 1_000 + "}",
    ],
    ids=["lists beyond the parser", "objects beyond the parser", "deep lists", "deep objects"],
)
@pytest.mark.parametrize(
    "query",
    [
        "query($x: PostFilter) { posts(filter: $x) { nodes { id } } }",
        "query($x: String) { posts(filter: {search: $x}) { nodes { id } } }",
        "query($x: DateTime) { posts(filter: {publishedAfter: $x}) { nodes { id } } }",
        "query($x: PostOrder) { posts(orderBy: $x) { nodes { id } } }",
        "query($x: Int) { posts(first: $x) { nodes { id } } }",
        "query($x: [ID!]!) { nodes(ids: $x) { id } }",
        "query($x: Boolean!) { __typename @include(if: $x) }",
    ],
    ids=lambda query: query[6:20],
)
async def test_deep_variables_are_bad_input(api: Api, variables: str, query: str) -> None:
    content = f'{{"query": "{query}", "variables": {variables}}}'
    started = time.process_time()
    answer = await api.post(content=content, headers={"Content-Type": "application/json"})
    assert time.process_time() - started < FAST
    assert set(answer.codes) == {INPUT}
    assert len(json.dumps(answer.body)) < 100_000


async def test_a_long_list_of_wrong_values_is_bounded(api: Api) -> None:
    started = time.process_time()
    answer = await api("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[None] * (MAX_VALUES - 1))
    assert time.process_time() - started < 2 * FAST
    assert answer.codes == [INPUT] * (MAX_ERRORS + 1)


async def test_limits_leave_room_for_ordinary_documents(api: Api) -> None:
    for query in (
        get_introspection_query(),
        get_introspection_query(descriptions=True, input_value_deprecation=True, schema_description=True),
        f"{{ {many(50, 'a%: __typename')} }}",
        f"{{ {many(200, '__typename')} }}",
        on_posts(many(50, "...N%"), many(50, "fragment N% on Post { id title author { id fullName } }")),
    ):
        answer = await api(query)
        assert answer.codes == [], answer.body["errors"][0]


async def test_long_values_belong_into_variables(api: Api) -> None:
    answer = await api("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x" * 1_900_000])
    assert answer.codes == [INPUT]
    assert answer.body["data"] == {"nodes": [None]}


async def test_a_document_is_refused_for_its_length_before_it_is_looked_at(api: Api) -> None:
    answer = await api("}" * 1_000_000)
    assert answer.codes == [COMPLEX]
    assert answer.body["errors"][0]["message"] == "The document has 1,000,000 characters, at most 100,000 are taken."


async def test_what_is_wrong_is_not_too_complex_however_much_of_it_is_wrong(api: Api) -> None:
    answer = await api(f"{{ {many(200, 'x%')} }}")
    assert answer.codes == [VALIDATE] * (MAX_ERRORS + 1)
    assert answer.body["errors"][-1]["message"].startswith("Too many validation errors")


async def test_fields_that_are_too_many_to_compare_are_too_complex(api: Api) -> None:
    answer = await api(f"{{ {many(300, '__typename')} }}")
    assert answer.codes == [COMPLEX]
    assert "too many fields, or fragments, in one place" in answer.body["errors"][0]["message"]


async def test_the_limits_are_settings(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_DEPTH, settings.GRAPHQL_MAX_ALIASES, settings.GRAPHQL_MAX_TOKENS = 2, 1, 15
    assert (await api("{ posts { nodes { id } } }")).codes == [COMPLEX]
    assert (await api("{ viewer { id } }")).codes == []
    assert (await api("{ a: __typename b: __typename }")).codes == [COMPLEX]
    assert (await api("{ a: __typename }")).codes == []
    assert (await api(f"{{ {many(14, '__typename')} }}")).codes == [PARSE]
    settings.GRAPHQL_MAX_DOCUMENT_LENGTH = 14
    assert (await api("{ __typename }")).codes == []
    assert (await api("{ __typename  }")).codes == [COMPLEX]


async def test_every_operation_of_a_document_is_measured(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_DEPTH = 2
    query = "query A { __typename } query B { posts { nodes { id } } }"
    answer = await api.post({"query": query, "operationName": "A"})
    assert answer.codes == [COMPLEX]
    assert "3 deep, at most 2" in answer.body["errors"][0]["message"]


WORDS = ["{", "}", "(", ")", "[", "]", ":", "...", "on", "Post", "posts", "nodes", "id", "$a", "query", "fragment", "F"]
WORDS += ["@include", "if", "true", "null", "-1", "1e400", '"x"', '"""', "#", "\u2028", "\x00", "mutation", "!", "="]


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)).filter(bool))
def test_any_text_is_a_document_or_is_refused(query: str) -> None:
    """Parsing and validation alone: nothing in them may fail as our own fault."""
    try:
        schema.documents.operation(query, "there is none")
    except Refused as refused:
        codes = {code_of(error, executed=False) for error in refused.errors}
    except RequestError as error:
        codes = {error.code}
    assert RequestErrorCode.INTERNAL not in codes


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
async def test_a_document_of_too_many_lines_is_refused(api: Api, line_break: str) -> None:
    """The place of each error is looked for from the first of them."""
    answer = await api(line_break * (MAX_LINES + 1) + "{ nothing }")
    assert answer.codes == ["QUERY_TOO_COMPLEX"]
    most = MAX_LINES // len(line_break)
    assert (await api(line_break * most + "{ __typename }")).codes == []


@pytest.mark.parametrize(
    "ids",
    [["x"] * MAX_VALUES, {"a": {"b": ["x"] * MAX_VALUES}}, [["x"] * 100] * 100],
    ids=["a list", "an object", "lists of lists"],
)
async def test_variables_of_too_many_values_are_refused(api: Api, ids: Any) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    answer = await api(query, ids=ids)
    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])
    assert "values" in answer.body["errors"][0]["message"]
    assert (await api("{ __typename }", ids=["x"] * (MAX_VALUES - 1))).codes == []
