"""What the documents say is still true: operations run, code is the code's, links and settings exist."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
from graphql import parse, validate

from schema.root import schema
from tests.api import Api
from tests.make import Make
from tests.statement_table import table

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("explorer/*.md")])


def snippets(language: str) -> list[tuple[str, str]]:
    """Every fenced block of `language`, with the document that it is from."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(str(file.relative_to(ROOT)), block) for file in DOCUMENTS for block in fence.findall(file.read_text())]


@pytest.mark.parametrize(("document", "operation"), snippets("graphql"))
def test_an_operation_in_the_documents_is_valid(document: str, operation: str) -> None:
    assert validate(schema._schema, parse(operation)) == []


@pytest.mark.parametrize(("document", "code"), snippets("python"))
def test_code_in_the_documents_stands_in_the_code(document: str, code: str) -> None:
    ast.parse(textwrap.dedent(code))
    files = [file for folder in ("apps", "schema", "config", "tests") for file in (ROOT / folder).rglob("*.py")]
    lines = {line.strip() for file in files for line in file.read_text().splitlines()}
    assert [line for line in code.splitlines() if line.strip() and line.strip() not in lines] == []


@pytest.mark.django_db
@pytest.mark.parametrize("posts", [2, 10])
async def test_the_first_query_of_the_readme_costs_six_statements(api: Api, make: Make, posts: int) -> None:
    [query] = [block for document, block in snippets("graphql") if document == "README.md"]
    for _ in range(posts):
        await make.comment(post=await make.post(tags=[await make.tag()]))
    answer = await api(query)
    assert len(answer.data["posts"]["nodes"]) == posts
    assert answer.statements == 6


def test_links_in_the_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)\)")
    missing = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in DOCUMENTS
        for target in link.findall(file.read_text())
        if not (file.parent / target).exists()
    ]
    assert missing == []


def test_files_that_the_documents_name_exist() -> None:
    path = re.compile(r"`((?:apps|config|schema|tests|docs|explorer/src)/[\w./-]+\.\w+)`")
    named = {(file.name, name) for file in DOCUMENTS for name in path.findall(file.read_text())}
    assert sorted(name for name in named if not (ROOT / name[1]).exists()) == []


def test_env_example_names_exactly_the_settings_that_are_read() -> None:
    read = {
        name
        for file in (ROOT / "config" / "settings").glob("*.py")
        for name in re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', file.read_text())
    }
    documented = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    # DEBUG is for working on the code only; the settings module is read before any settings are.
    assert documented == read - {"DEBUG"} | {"DJANGO_SETTINGS_MODULE"}


def test_a_copy_of_env_example_changes_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_table_of_statements_is_the_tested_one() -> None:
    assert table() in (ROOT / "docs" / "performance.md").read_text()
