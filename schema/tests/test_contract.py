"""The public names that clients rely on: the schema has at least these, spelled and typed like this."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    specified_scalar_types,
)
from graphql.utilities.print_schema import print_input_value

from apps.core.errors import ErrorCode
from schema.root import schema
from tests.test_error_codes import UNUSED

TYPES = schema._schema.type_map
PAGE = "first: Int, after: String, last: Int, before: String"

FIELDS = {
    "Query": {
        "viewer": "User",
        "node(id: ID!)": "Node",
        "nodes(ids: [ID!]!)": "[Node]!",
        "post(id: ID, slug: String)": "Post",
        f"posts({PAGE}, filter: PostFilter, orderBy: PostOrder)": "PostConnection!",
        "user(id: ID!)": "User",
        f"users({PAGE}, filter: UserFilter)": "UserConnection!",
        "comment(id: ID!)": "Comment",
        f"tags({PAGE}, search: String)": "TagConnection!",
    },
    "Subscription": {"postPublished": "Post!", "commentAdded(postId: ID!)": "Comment!"},
    "Node": {"id": "ID!"},
    "User": {
        "id": "ID!",
        "firstName": "String!",
        "lastName": "String!",
        "fullName": "String!",
        "bio": "String!",
        "dateJoined": "DateTime!",
        "email": "String",
        "emailVerified": "Boolean",
        "notifyOfComments": "Boolean",
        "notifyOfReplies": "Boolean",
        f"posts({PAGE}, filter: PostFilter, orderBy: PostOrder)": "PostConnection!",
        f"comments({PAGE})": "CommentConnection!",
        "sessions": "[Session!]",
    },
    "Session": {
        "id": "ID!",
        "createdAt": "DateTime!",
        "lastUsedAt": "DateTime!",
        "userAgent": "String!",
        "ip": "String",
        "current": "Boolean!",
    },
    "Post": {
        "id": "ID!",
        "title": "String!",
        "slug": "String!",
        "excerpt": "String!",
        "body": "String!",
        "status": "PostStatus!",
        "publishedAt": "DateTime",
        "createdAt": "DateTime!",
        "updatedAt": "DateTime!",
        "version": "Int!",
        "author": "User!",
        "tags": "[Tag!]!",
        "commentCount": "Int!",
        f"comments({PAGE}, topLevel: Boolean = false, orderBy: CommentOrder = NEWEST)": "CommentConnection!",
        "viewerCanEdit": "Boolean!",
    },
    "Tag": {"id": "ID!", "name": "String!", "slug": "String!", f"posts({PAGE})": "PostConnection!"},
    "Comment": {
        "id": "ID!",
        "body": "String!",
        "createdAt": "DateTime!",
        "editedAt": "DateTime",
        "deleted": "Boolean!",
        "depth": "Int!",
        "author": "User!",
        "post": "Post!",
        "parent": "Comment",
        "replyCount": "Int!",
        f"replies({PAGE})": "CommentConnection!",
        "viewerCanEdit": "Boolean!",
    },
    "PageInfo": {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    },
    "UserError": {"code": "ErrorCode!", "message": "String!", "field": "[String!]", "retryAfter": "Int"},
}

NODES = {"User", "Session", "Post", "Tag", "Comment"}
LISTED = {"User", "Post", "Tag", "Comment"}

ENUMS = {
    "PostStatus": {"DRAFT", "SCHEDULED", "PUBLISHED", "ARCHIVED"},
    "CommentOrder": {"NEWEST", "OLDEST"},
    "PostOrder": {"NEWEST", "OLDEST", "RECENTLY_UPDATED", "TITLE", "RELEVANCE"},
    "ErrorCode": {
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "NOT_FOUND",
        "INVALID",
        "REQUIRED",
        "UNIQUE",
        "CONFLICT",
        "INVALID_CREDENTIALS",
        "INVALID_TOKEN",
        "RATE_LIMITED",
        "PASSWORD_TOO_WEAK",
        "ACCOUNT_DISABLED",
        "EMAIL_NOT_VERIFIED",
    },
}

FILTERS = {
    "PostFilter": {
        "search": "String",
        "tag": "String",
        "author": "ID",
        "status": "PostStatus",
        "publishedAfter": "DateTime",
        "publishedBefore": "DateTime",
    },
    "UserFilter": {"search": "String"},
}

TOKENS = {"accessToken", "refreshToken", "accessTokenExpiresAt", "refreshTokenExpiresAt", "user"}

# What each mutation takes, and what it gives beside `errors`.
MUTATIONS = {
    "register": ({"email", "password", "firstName", "lastName"}, {"user"}),
    "login": ({"email", "password", "useCookie"}, TOKENS),
    "refreshToken": ({"refreshToken"}, TOKENS),
    "logout": ({"refreshToken"}, {"success"}),
    "changePassword": ({"currentPassword", "newPassword"}, TOKENS),
    "updateProfile": ({"firstName", "lastName", "bio", "notifyOfComments", "notifyOfReplies"}, {"user"}),
    "createPost": ({"title", "body", "tags", "publish", "publishAt"}, {"post"}),
    "updatePost": ({"id", "version", "title", "body", "tags"}, {"post"}),
    "publishPost": ({"id", "publishAt"}, {"post"}),
    "archivePost": ({"id"}, {"post"}),
    "deletePost": ({"id"}, {"deletedPostId"}),
    "addComment": ({"postId", "parentId", "body"}, {"comment"}),
    "updateComment": ({"id", "body"}, {"comment"}),
    "deleteComment": ({"id"}, {"deletedCommentId"}),
}


def fields_of(type_name: str) -> dict[str, str]:
    """The fields of a type as the SDL writes them: name with arguments, and type."""
    kind = TYPES[type_name]
    assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
    written = {}
    for name, field in kind.fields.items():
        arguments = [print_input_value(argument, value) for argument, value in field.args.items()]
        written[f"{name}({', '.join(arguments)})" if arguments else name] = str(field.type)
    return written


@pytest.mark.parametrize("type_name", FIELDS)
def test_types_have_the_fields_of_the_contract(type_name: str) -> None:
    assert FIELDS[type_name].items() <= fields_of(type_name).items()


@pytest.mark.parametrize("type_name", sorted(NODES))
def test_types_with_ids_are_nodes(type_name: str) -> None:
    kind = TYPES[type_name]
    assert isinstance(kind, GraphQLObjectType)
    assert [interface.name for interface in kind.interfaces] == ["Node"]


@pytest.mark.parametrize("type_name", sorted(LISTED))
def test_connections_have_the_fields_of_the_contract(type_name: str) -> None:
    assert fields_of(f"{type_name}Connection") == {
        "edges": f"[{type_name}Edge!]!",
        "nodes": f"[{type_name}!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int!",
    }
    assert fields_of(f"{type_name}Edge") == {"cursor": "String!", "node": f"{type_name}!"}


@pytest.mark.parametrize("enum", ENUMS)
def test_enums_have_the_values_of_the_contract(enum: str) -> None:
    kind = TYPES[enum]
    assert isinstance(kind, GraphQLEnumType)
    assert set(kind.values) == ENUMS[enum]


@pytest.mark.parametrize("name", FILTERS)
def test_filters_have_the_fields_of_the_contract(name: str) -> None:
    kind = TYPES[name]
    assert isinstance(kind, GraphQLInputObjectType)
    assert {field: str(value.type) for field, value in kind.fields.items()} == FILTERS[name]


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_take_and_give_what_the_contract_says(name: str) -> None:
    pascal = f"{name[0].upper()}{name[1:]}"
    taken, given = MUTATIONS[name]
    assert fields_of("Mutation")[f"{name}(input: {pascal}Input!)"] == f"{pascal}Payload!"
    input_type, payload = TYPES[f"{pascal}Input"], TYPES[f"{pascal}Payload"]
    assert isinstance(input_type, GraphQLInputObjectType)
    assert isinstance(payload, GraphQLObjectType)
    assert set(input_type.fields) == taken
    assert set(payload.fields) == given | {"errors"}
    assert str(payload.fields["errors"].type) == "[UserError!]!"
    nullable = {field: str(payload.fields[field].type) for field in given}
    assert not any(written.endswith("!") for written in nullable.values()), "null when there are errors"


def descriptions() -> Iterator[tuple[str, str | None]]:
    """Everything in the schema that can have a description, and what it is."""
    for name, kind in TYPES.items():
        if name.startswith("__") or kind in specified_scalar_types.values():
            continue
        yield name, kind.description
        if isinstance(kind, GraphQLEnumType):
            yield from ((f"{name}.{value}", member.description) for value, member in kind.values.items())
        elif not isinstance(kind, GraphQLScalarType):
            assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType)
            for field_name, field in kind.fields.items():
                yield f"{name}.{field_name}", field.description
                arguments = getattr(field, "args", {})
                yield from ((f"{name}.{field_name}({key})", value.description) for key, value in arguments.items())


def test_everything_has_a_description() -> None:
    described = dict(descriptions())
    assert len(described) > 150
    assert [what for what, description in described.items() if not (description or "").strip()] == []


def test_codes_that_nothing_raises_yet_say_so() -> None:
    kind = TYPES["ErrorCode"]
    assert isinstance(kind, GraphQLEnumType)
    unused = {name for name, code in kind.values.items() if "Not used yet." in (code.description or "")}
    assert unused == {code.value for code in UNUSED if isinstance(code, ErrorCode)}


def test_descriptions_are_sentences() -> None:
    assert [
        (what, text)
        for what, text in descriptions()
        if text and (not text.endswith(".") or not text[0].isupper()) and text[0].isalpha()
    ] == []


def test_the_exported_schema_is_up_to_date() -> None:
    call_command("export_schema", check=True, stdout=StringIO())


def test_an_outdated_export_is_found(tmp_path: Path) -> None:
    with override_settings(BASE_DIR=tmp_path), pytest.raises(CommandError, match="out of date"):
        call_command("export_schema", check=True, stdout=StringIO())
