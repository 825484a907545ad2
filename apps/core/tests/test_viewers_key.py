"""Rules that use the key of a viewer, in statements that all viewers of a kind share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    When,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from apps.core import pool
from apps.core.rows import AnyViewer, Statement, Statements, compiled, on_djangos_connection
from apps.posts import selectors
from apps.posts.models import Post, PostStatus
from apps.users.models import User
from tests.make import Make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

NOBODY: User | None = None


class Drafts:
    """Drafts as one cache of statements gives them to whoever asks; counts what it had to compile."""

    def __init__(self) -> None:
        self.statements: Statements[Post] = Statements()
        self.compiled = 0

    def statement(self, viewer: User | None) -> Statement[Post]:
        return self.statements.of(viewer, "drafts", self._compile)

    async def seen_by(self, viewer: User | None) -> list[int]:
        rows = await self.statement(viewer).fetch((), viewer.pk if viewer else None)
        return [row.pk for row in rows]

    def _compile(self, viewer: User | None) -> Statement[Post]:
        self.compiled += 1
        return compiled(selectors.visible_to(viewer).filter(status=PostStatus.DRAFT).order_by("pk"))


@pytest.mark.parametrize("on_the_pool", [True, False])
async def test_one_statement_serves_all_viewers_of_a_kind(make: Make, on_the_pool: bool) -> None:
    drafts = Drafts()
    posts = [await make.post(status=PostStatus.DRAFT) for _ in range(3)]
    ann, bob, _ = (post.author for post in posts)
    staff = await make.user(is_staff=True)
    async with pool.opened() if on_the_pool else nullcontext():
        for _ in range(2):
            assert await drafts.seen_by(ann) == [posts[0].pk]
            assert await drafts.seen_by(bob) == [posts[1].pk]
            assert await drafts.seen_by(staff) == [post.pk for post in posts]
            assert await drafts.seen_by(await make.user()) == []
            assert await drafts.seen_by(None) == []
    assert drafts.compiled == 3
    assert drafts.statement(ann) is drafts.statement(bob)
    assert len({id(drafts.statement(viewer)) for viewer in (ann, staff, None)}) == 3


RULES: dict[str, Callable[[Any], Any]] = {
    "equal": lambda viewer: Post.objects.filter(author_id=viewer.pk),
    "related": lambda viewer: Post.objects.filter(author=viewer.pk),
    "through a relation": lambda viewer: Post.objects.filter(author__pk=viewer.pk),
    "other than": lambda viewer: Post.objects.exclude(author_id=viewer.pk),
    "less": lambda viewer: Post.objects.filter(author_id__lt=viewer.pk),
    "within": lambda viewer: Post.objects.filter(author__pk__range=(viewer.pk, viewer.pk)),
    "in a list": lambda viewer: Post.objects.filter(author_id__in=[viewer.pk, 5]),
    "in a tuple": lambda viewer: Post.objects.filter(author__in=(0, viewer.pk)),
    "in a list of nobody else": lambda viewer: Post.objects.filter(author_id__in=[viewer.pk]),
    "in a list of users": lambda viewer: Post.objects.filter(author__in=[User(pk=5), viewer.pk]),
    "in a list of keys": lambda viewer: Post.objects.filter(author__in=User.objects.filter(pk__in=[viewer.pk, 5])),
    "in a list, through a relation": lambda viewer: Post.objects.filter(author__pk__in=[viewer.pk, 5]),
    "in a list of related": lambda viewer: User.objects.filter(posts__author__in=[viewer.pk, 5]),
    "of another list": lambda viewer: Post.objects.exclude(author_id__in=[viewer.pk, 5]),
    "any of": lambda viewer: Post.objects.filter(Q(author_id=viewer.pk) | Q(author_id=viewer.pk, title="x") | Q(pk=0)),
    "none of": lambda viewer: Post.objects.filter(~Q(author_id=viewer.pk) & Q(author_id__isnull=False)),
    "one of": lambda viewer: Post.objects.filter(Q(author_id=viewer.pk) ^ Q(pk=0)),
    "a condition": lambda viewer: Post.objects.annotate(own=Q(author_id=viewer.pk)).filter(own=True),
    "a case": lambda viewer: Post.objects.annotate(own=Case(When(author_id=viewer.pk, then=1), default=2)).filter(
        own=1
    ),
    "a case of Q": lambda viewer: Post.objects.filter(Case(When(Q(author_id=viewer.pk), then=True), default=False)),
    "the key itself": lambda viewer: Post.objects.annotate(me=Case(When(pk=0, then=0), default=viewer.pk)).filter(
        author_id=F("me")
    ),
    "an order": lambda viewer: Post.objects.order_by(Case(When(author_id=viewer.pk, then=0), default=1), "pk"),
    "there is one": lambda viewer: Post.objects.filter(
        Exists(User.objects.filter(pk=viewer.pk, posts__pk=OuterRef("pk")))
    ),
    "F": lambda viewer: Post.objects.alias(distance=F("author_id") - viewer.pk).filter(distance=0),
    "F on the left": lambda viewer: Post.objects.filter(Exact(F("author_id"), viewer.pk)),
    "a function": lambda viewer: Post.objects.filter(author_id=Coalesce(viewer.pk, 0)),
    "a count": lambda viewer: User.objects.annotate(
        own=Case(When(pk=viewer.pk, then=1), default=2), n=Count("posts")
    ).filter(own=1, n=1),
    "a filtered count": lambda viewer: User.objects.annotate(n=Count("posts", Q(posts__author_id=viewer.pk))).filter(
        n=1
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
async def test_a_rule_gives_each_viewer_djangos_rows(read_pool: None, make: Make, rule: Callable[[Any], Any]) -> None:
    """From one statement, on the pool and on Django's connection, whoever comes first."""
    statements: Statements[Any] = Statements()
    ann, bob = [(await make.post()).author for _ in range(2)]
    compilations: list[Any] = []

    def compile(anyone: User | None) -> Statement[Any]:
        compilations.append(anyone)
        return compiled(rule(anyone))

    expected = {viewer.pk: [row.pk async for row in rule(viewer)] for viewer in (ann, bob)}
    assert expected[ann.pk] != expected[bob.pk]
    for context in (nullcontext, on_djangos_connection):
        for viewer in (ann, bob, ann):
            with context():
                rows = await statements.of(viewer, "rule", compile).fetch((), viewer.pk)
            assert [row.pk for row in rows] == expected[viewer.pk]
    assert len(compilations) == 1


async def test_the_key_of_a_viewer_is_a_number_where_it_is_read(read_pool: None, make: Make) -> None:
    user = await make.user()
    statement = compiled(User.objects.filter(pk=user.pk).annotate(me=AnyViewer(False, False, frozenset()).pk))
    [on_the_pool] = await statement.fetch((), 7)
    with on_djangos_connection():
        [on_djangos] = await statement.fetch((), 7)
    assert on_the_pool.me == on_djangos.me == 7


async def test_viewers_with_other_rights_have_statements_of_their_own(make: Make) -> None:
    drafts = Drafts()
    rights = [
        (staff, superuser, frozenset(names))
        for staff in (False, True)
        for superuser in (False, True)
        for names in ((), ("posts.view_post",), ("posts.view_post", "posts.add_post"))
    ]
    viewers = []
    for pk, (staff, superuser, names) in enumerate(rights, 1):
        viewer = User(pk=pk, is_staff=staff, is_superuser=superuser)
        viewer.permission_names = names
        viewers.append(viewer)
    # A superuser may everything anyway: three sets of permissions make one kind.
    assert len({id(drafts.statement(viewer)) for viewer in (*viewers, None)}) == 2 * 3 + 2 + 1


async def test_a_rule_that_asks_for_a_permission_is_compiled_for_those_who_have_it(make: Make) -> None:
    drafts = Drafts()
    post = await make.post(status=PostStatus.DRAFT)
    for _ in range(2):
        for role, seen in {"author": [], "moderator": [], "editor": [post.pk], "admin": [post.pk]}.items():
            assert await drafts.seen_by(await make.user(role=role)) == seen
        assert await drafts.seen_by(await make.user(is_superuser=True)) == [post.pk]
    assert drafts.compiled == 5


@pytest.mark.parametrize(
    "rule",
    [
        lambda viewer: Post.objects.filter(author_id=viewer.id),
        lambda viewer: Post.objects.filter(author__email=viewer.email),
        lambda viewer: Post.objects.filter(author=viewer),
        lambda viewer: Post.objects.all() if viewer.is_active else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.is_authenticated else Post.objects.none(),
        lambda viewer: Post.objects.filter(created_at__gt=viewer.date_joined),
        lambda viewer: Post.objects.all() if viewer.has_perm("posts.view_post", 1) else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.has_module_perms("posts") else Post.objects.none(),
        lambda viewer: Post.objects.filter(author__in=viewer.groups.all()),
        lambda viewer: Post.objects.all() if viewer.get_full_name() else Post.objects.none(),
        lambda viewer: Post.objects.filter(author_id=int(viewer.pk)),
        lambda viewer: Post.objects.filter(title=f"{viewer.pk:d}"),
    ],
)
def test_a_rule_that_wants_to_know_more_of_a_viewer_fails(rule: Callable[[Any], Any]) -> None:
    statements: Statements[Post] = Statements()
    viewer = User(pk=1, email="ann@example.com")
    with pytest.raises((AttributeError, TypeError)):
        statements.of(viewer, "posts", lambda anyone: compiled(rule(anyone)))


def test_what_stands_for_viewers_cannot_be_told_to_be_more() -> None:
    anyone: Any = AnyViewer(is_staff=False, is_superuser=False, permission_names=frozenset())
    with pytest.raises((AttributeError, TypeError)):
        anyone.is_staff = True
    with pytest.raises((AttributeError, TypeError)):
        anyone.email = "ann@example.com"


@pytest.mark.parametrize(
    "rule",
    [
        lambda viewer: Post.objects.all() if viewer.pk == 1 else Post.objects.none(),
        lambda viewer: Post.objects.none() if viewer.pk != 1 else Post.objects.all(),
        lambda viewer: Post.objects.all() if viewer.pk == 1.0 or viewer.pk == "1" else Post.objects.none(),
        lambda viewer: Post.objects.all() if 1 == viewer.pk else Post.objects.none(),  # noqa: SIM300
        lambda viewer: Post.objects.all() if viewer.pk == viewer.pk else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.pk in {1, 2} else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.pk in [1, 2] else Post.objects.none(),
        lambda viewer: Post.objects.all() if 1 in viewer.pk else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.pk else Post.objects.none(),
        lambda viewer: Post.objects.all() if viewer.pk > 1 else Post.objects.none(),
        lambda viewer: Post.objects.filter(author_id={1: 2}.get(viewer.pk, 3)),
        lambda viewer: Post.objects.filter(author_id__in={viewer.pk, 5}),
        lambda viewer: Post.objects.filter(title=str(viewer.pk)),
        lambda viewer: Post.objects.filter(version=int(viewer.pk)),
        lambda viewer: Post.objects.filter(author_id=viewer.pk + 1),
        lambda viewer: Post.objects.filter(slug=f"of-{viewer.pk}"),
    ],
)
def test_a_rule_that_looks_at_the_key_itself_fails(rule: Callable[[Any], Any]) -> None:
    statements: Statements[Post] = Statements()
    with pytest.raises((AttributeError, TypeError)):
        statements.of(User(pk=1), "posts", lambda anyone: compiled(rule(anyone)))
