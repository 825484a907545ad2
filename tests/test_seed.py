import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.db.models import Count, Exists, F, Max, OuterRef
from django.utils import timezone

from apps.comments.models import DEPTH_MAX, Comment
from apps.core import demo, seed_text
from apps.posts.models import TAGS_MAX, Post, PostStatus, Tag, Tagging
from apps.users.models import User

pytestmark = pytest.mark.django_db

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
SMALL: dict[str, Any] = {"users": 20, "posts": 60, "comments": 400, "tags": 30}


def seed(*, yes: bool = True, **options: Any) -> str:
    """Run the command and give what it printed."""
    printed = StringIO()
    options.setdefault("until", UNTIL.date())
    call_command("seed", yes=yes, stdout=printed, stderr=printed, **options)
    return printed.getvalue()


def everything() -> list[list[tuple[Any, ...]]]:
    """All rows but for what cannot repeat: hashed passwords, and the ids of users."""
    return [
        list(User.objects.order_by("id").values_list("email", "first_name", "last_name", "bio", "date_joined")),
        list(Tag.objects.order_by("id").values_list("id", "name", "slug")),
        list(
            Post.objects.order_by("id").values_list(
                "id", "author__email", "title", "slug", "body", "status", "published_at", "updated_at", "version"
            )
        ),
        list(Tagging.objects.order_by("post", "position").values_list("post_id", "position", "tag_id")),
        list(
            Comment.objects.order_by("id").values_list(
                "id", "post_id", "author__email", "parent_id", "body", "created_at", "edited_at", "deleted_at"
            )
        ),
    ]


def test_makes_the_numbers_that_were_asked_for() -> None:
    line = seed(**SMALL)
    counted = [model.objects.count() for model in (User, Post, Comment, Tag)]
    assert counted == list(SMALL.values())
    assert "20 users, 30 tags, 60 posts and 400 comments" in line


def test_the_same_numbers_give_the_same_rows() -> None:
    seed(**SMALL, clear=True)
    first = everything()
    seed(**SMALL, clear=True)
    assert everything() == first


def test_another_random_seed_gives_other_rows() -> None:
    seed(**SMALL)
    first = everything()
    seed(**SMALL, clear=True, random_seed=2)
    assert all(new != old for new, old in zip(everything()[2:], first[2:], strict=True))


def test_more_posts_leave_the_users_as_they_were() -> None:
    seed(**SMALL)
    users = everything()[0]
    seed(**{**SMALL, "posts": 61}, clear=True)
    assert everything()[0] == users


def test_texts_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from random import Random; from apps.core import seed_text as t, seed_words as w; r = Random('1');"
        "print([(t.person(r), t.bio(r), t.title(r, k), t.body(r, k), t.comment(r, k, 'Ada')) for k in w.TOPICS])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]


def test_no_text_shows_a_placeholder() -> None:
    seed(**SMALL)
    texts = [*Post.objects.values_list("title", flat=True), *Post.objects.values_list("body", flat=True)]
    texts += [*Comment.objects.values_list("body", flat=True), *User.objects.values_list("bio", flat=True)]
    assert not any("{" in text or "}" in text or "  " in text for text in texts)


def test_every_possible_tag_has_a_name_of_its_own() -> None:
    seed(users=2, posts=0, comments=0, tags=seed_text.TAGS_MAX)
    assert Tag.objects.count() == seed_text.TAGS_MAX
    assert len(seed_text.tag_names(seed_text.TAGS_MAX + 1)) == seed_text.TAGS_MAX


def test_states_and_dates_of_posts_agree() -> None:
    seed(**SMALL)
    assert set(Post.objects.values_list("status", flat=True)) == set(PostStatus.values)
    assert Post.objects.filter(status=PostStatus.PUBLISHED).count() > 0.7 * SMALL["posts"]
    assert not Post.objects.filter(status=PostStatus.SCHEDULED, published_at__lte=UNTIL).exists()
    assert not Post.objects.exclude(status=PostStatus.SCHEDULED).filter(published_at__gte=UNTIL).exists()
    assert not Post.objects.filter(created_at__gt=F("published_at")).exists()
    assert not Post.objects.filter(author__date_joined__gt=F("created_at")).exists()
    assert not Post.objects.filter(updated_at__lt=F("created_at")).exists()
    assert not Post.objects.filter(updated_at__gt=UNTIL).exists()


def test_posts_have_0_to_10_tags_numbered_from_0() -> None:
    seed(**{**SMALL, "posts": 400})
    tagged = Post.objects.annotate(number=Count("taggings"), last=Max("taggings__position"))
    assert not tagged.filter(number__gt=0).exclude(number=F("last") + 1).exists()
    numbers = set(tagged.values_list("number", flat=True))
    assert {0, 1, 2, 3} <= numbers <= set(range(TAGS_MAX + 1))


def test_threads_are_sound() -> None:
    seed(**SMALL)
    connection.check_constraints()  # the composite foreign key among them
    replies = Comment.objects.filter(parent__isnull=False)
    assert Comment.objects.aggregate(deepest=Max("depth"))["deepest"] == DEPTH_MAX
    assert not replies.exclude(depth=F("parent__depth") + 1).exists()
    assert not replies.filter(created_at__lte=F("parent__created_at")).exists()
    assert not replies.exclude(post=F("parent__post")).exists()
    assert not Comment.objects.filter(created_at__lte=F("post__published_at")).exists()
    assert not Comment.objects.filter(created_at__gt=UNTIL).exists()
    assert not Comment.objects.filter(author__date_joined__gt=F("created_at")).exists()
    assert not Comment.objects.filter(post__status__in=[PostStatus.DRAFT, PostStatus.SCHEDULED]).exists()


def test_deleted_comments_are_empty_and_have_replies() -> None:
    seed(**SMALL)
    deleted = Comment.objects.filter(deleted_at__isnull=False)
    assert 0 < deleted.count() < 0.1 * SMALL["comments"]
    assert not deleted.exclude(body="").exists()
    assert not deleted.exclude(Exists(Comment.objects.filter(parent=OuterRef("pk")))).exists()


def test_few_posts_get_most_comments() -> None:
    seed(**SMALL)
    sizes = sorted(Post.objects.annotate(number=Count("comments")).values_list("number", flat=True), reverse=True)
    assert sum(sizes[:15]) > SMALL["comments"] / 2


def test_writing_goes_on_after_seeding() -> None:
    seed(**SMALL)
    post = Post.objects.filter(status=PostStatus.PUBLISHED)[0]
    last = Comment.objects.aggregate(last=Max("id"))["last"]
    assert Comment.objects.create(post=post, author=post.author, body="And another one.").pk > last


def test_only_the_demo_logins_can_sign_in() -> None:
    seed(**SMALL)
    author = authenticate(username=demo.AUTHOR_EMAIL, password=demo.PASSWORD)
    staff = authenticate(username=demo.STAFF_EMAIL, password=demo.PASSWORD)
    assert isinstance(author, User)
    assert isinstance(staff, User)
    assert (author.is_staff, author.is_superuser) == (False, False)
    assert (staff.is_staff, staff.is_superuser) == (True, True)
    own = set(author.posts.values_list("status", flat=True))
    assert {PostStatus.PUBLISHED, PostStatus.DRAFT, PostStatus.SCHEDULED} <= own
    others = User.objects.exclude(pk__in=[author.pk, staff.pk])
    assert not any(user.has_usable_password() for user in others)


def test_everybody_may_write() -> None:
    seed(**SMALL)
    assert User.objects.filter(groups__name="author").count() == SMALL["users"]


def test_demo_makes_a_small_set_once_and_says_so_in_a_line() -> None:
    made = seed(demo=True)
    rows = everything()
    again = seed(demo=True)
    assert [len(kind) for kind in rows[:3]] == [12, 15, 40]
    assert everything() == rows
    assert made.count("\n") == again.count("\n") == 1
    assert demo.AUTHOR_EMAIL in made
    assert again == "Nothing seeded: the database is not empty.\n"


def test_demo_leaves_a_database_with_users_alone() -> None:
    User.objects.create_user("mira@example.com", first_name="Mira")
    seed(demo=True, yes=False)
    assert User.objects.count() == 1


def test_verbosity_0_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert seed(demo=True, verbosity=0) == ""
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_there_is_no_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    seed(demo=True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"users": 0}, "at least 2"),
        ({"users": -5}, "at least 2"),
        ({"posts": -1}, "negative"),
        ({"comments": -1}, "negative"),
        ({"tags": -1}, "negative"),
        ({"posts": 0}, "posts to comment on"),
        ({"tags": seed_text.TAGS_MAX + 1}, "at most"),
        ({"comments": 99_999_999_999_999_999_999}, "at most 10,000,000"),
        ({"until": date.min}, "a day from 1970-01-01 to today"),
        ({"until": date.max}, "a day from 1970-01-01 to today"),
        ({"until": timezone.now().date() + timedelta(days=2)}, "a day from 1970-01-01 to today"),
    ],
)
def test_refuses_numbers_that_make_no_sense(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        seed(**{**SMALL, **numbers})
    assert not User.objects.exists()


@pytest.mark.parametrize("arguments", [["--users=many"], ["--until=yesterday"], ["--clear", "--demo"]])
def test_refuses_arguments_that_are_none(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("seed", "--yes", *arguments)


@pytest.mark.parametrize("until", [date(1970, 1, 1), None])
def test_the_first_and_the_last_day_are_taken(until: date | None) -> None:
    seed(**SMALL, until=until)
    assert Post.objects.count() == SMALL["posts"]
    assert not Post.objects.filter(status=PostStatus.PUBLISHED, published_at__gt=timezone.now()).exists()


def test_refuses_to_add_to_what_is_there() -> None:
    seed(**SMALL)
    rows = everything()
    with pytest.raises(CommandError, match="--clear"):
        seed(**SMALL)
    assert everything() == rows


def test_refuses_without_debug_unless_told(settings: Any) -> None:
    for options in ({}, {"clear": True}, {"demo": True}):
        with pytest.raises(CommandError, match="--yes"):
            seed(**SMALL, yes=False, **options)
    assert not User.objects.exists()
    settings.DEBUG = True
    seed(**SMALL, yes=False)
    assert User.objects.exists()


def test_clear_keeps_the_staff_and_nobody_else() -> None:
    User.objects.create_superuser("me@example.com", "secret-phrase", first_name="Me")
    User.objects.create_user("editor@example.com", first_name="Ed", is_staff=True)
    User.objects.create_user("visitor@example.com", first_name="Vi")
    seed(**SMALL, clear=True)
    assert User.objects.filter(email__in=["me@example.com", "editor@example.com"]).count() == 2
    assert not User.objects.filter(email="visitor@example.com").exists()
    assert User.objects.count() == SMALL["users"] + 2


def test_a_failure_leaves_everything_as_it_was() -> None:
    seed(**SMALL)
    rows = everything()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE comments_comment ADD CONSTRAINT nothing_new CHECK (id < 0) NOT VALID")
    with pytest.raises(IntegrityError, match="nothing_new"):
        seed(**SMALL, clear=True, random_seed=2)
    assert everything() == rows
