"""`manage.py seed`: people, posts and discussions to develop, demonstrate and measure with."""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from random import Random
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify
from tqdm import tqdm  # type: ignore[import-untyped]  # its types are a package that we do not install

from apps.comments.models import DEPTH_MAX, Comment
from apps.core import demo, seed_text
from apps.core.seed_threads import active_member, plan_threads
from apps.core.seed_words import TOPICS, Topic
from apps.core.text import excerpt
from apps.posts.models import EXCERPT_MAX, Post, PostStatus, Tag, Tagging
from apps.posts.models import TAGS_MAX as TAGS_OF_A_POST_MAX
from apps.posts.services import make_slug
from apps.users import roles
from apps.users.models import User

Row = TypeVar("Row", bound=models.Model)

BATCH = 1_000
# All rows are made in memory.
ROWS_MAX = 10_000_000
WINDOW = timedelta(days=730)
EARLIEST = date(1970, 1, 1)
MAIL_DOMAINS = ("example.com", "example.org", "example.net")
# The demo author shows every state that a post can be in at the start.
FIRST_STATUSES = (PostStatus.PUBLISHED, PostStatus.DRAFT, PostStatus.SCHEDULED, PostStatus.PUBLISHED)
STATUS_SHARES = {
    PostStatus.PUBLISHED: 88,
    PostStatus.DRAFT: 5,
    PostStatus.ARCHIVED: 4,
    PostStatus.SCHEDULED: 3,
}
TAG_COUNT_SHARES = (5, 15, 25, 25, 14, 7, 4, 2, 1, 1, 1)  # of 0 tags, 1 tag, … 10 tags


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of each kind."""

    users: int
    posts: int
    comments: int
    tags: int


USUAL = Size(users=200, posts=1_000, comments=10_000, tags=50)
DEMO = Size(users=12, posts=40, comments=300, tags=15)


class Command(BaseCommand):
    """Fills the database, in one transaction: a failure leaves it as it was."""

    help = (
        "Fill an empty database with believable users, posts, comments and tags. The same numbers, random "
        "seed and date give the same rows. Two of the users can sign in, with a password that is no secret: "
        f"{demo.AUTHOR_EMAIL} and {demo.STAFF_EMAIL} (a superuser)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, usual in (("users", USUAL.users), ("posts", USUAL.posts), ("comments", USUAL.comments)):
            parser.add_argument(f"--{name}", type=int, help=f"how many (default {usual:,}; see --demo)")
        parser.add_argument("--tags", type=int, help=f"how many (default {USUAL.tags}, at most {seed_text.TAGS_MAX})")
        parser.add_argument("--random-seed", type=int, default=1, help="another number gives other rows (default 1)")
        parser.add_argument(
            "--until",
            type=date.fromisoformat,
            help="the day (UTC), not in the future, before which all of it happened (default today)",
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument(
            "--clear",
            action="store_true",
            help="first delete ALL posts, comments and tags, whoever wrote them, and all users except "
            "superusers and staff (the demo logins go too, and are made again)",
        )
        mode.add_argument(
            "--demo",
            action="store_true",
            help=f"a small set ({DEMO.users} users, {DEMO.posts} posts) in an empty database, else nothing",
        )
        parser.add_argument("--yes", action="store_true", help="needed where DEBUG is off, as in production")

    def handle(self, *_: Any, **options: Any) -> None:
        usual = DEMO if options["demo"] else USUAL
        chosen = {name: options[name] for name in ("users", "posts", "comments", "tags")}
        size = Size(**{name: getattr(usual, name) if given is None else given for name, given in chosen.items()})
        day = options["until"] or timezone.now().date()
        _check(size, day)
        if options["demo"] and _anything_is_there():
            self._say(options, "Nothing seeded: the database is not empty.")
            return
        if not settings.DEBUG and not options["yes"]:
            raise CommandError("DEBUG is off, so this may be production. Add --yes if you mean it.")

        started = time.perf_counter()
        until = datetime.combine(day, datetime.min.time(), UTC)
        total = size.users + size.tags + size.posts + size.comments
        silent = True if options["verbosity"] == 0 else None  # None: unless it is a terminal
        with transaction.atomic(), tqdm(total=total, unit=" rows", disable=silent, leave=False) as bar:
            if options["clear"]:
                _clear()
            if _anything_is_there():
                raise CommandError("There is data already. Add --clear to delete it first (see --help for what).")
            _Seeder(size, options["random_seed"], until, bar.update).run()
        seconds = time.perf_counter() - started
        self._say(
            options,
            f"Seeded {size.users:,} users, {size.tags:,} tags, {size.posts:,} posts and {size.comments:,} "
            f"comments in {seconds:.1f} s. Sign in as {demo.AUTHOR_EMAIL} or {demo.STAFF_EMAIL}, "
            f"password {demo.PASSWORD}",
        )

    def _say(self, options: dict[str, Any], line: str) -> None:
        if options["verbosity"] > 0:
            self.stdout.write(line)


def _check(size: Size, day: date) -> None:
    if not EARLIEST <= day <= timezone.now().date():
        raise CommandError(f"--until must be a day from {EARLIEST} to today.")
    if min(size.posts, size.comments, size.tags) < 0:
        raise CommandError("Numbers must not be negative.")
    if max(size.users, size.posts, size.comments) > ROWS_MAX:
        raise CommandError(f"Numbers must be at most {ROWS_MAX:,}.")
    if size.users < 2:
        raise CommandError("--users must be at least 2: the two demo logins.")
    if size.comments and not size.posts:
        raise CommandError("--comments needs posts to comment on.")
    if size.tags > seed_text.TAGS_MAX:
        raise CommandError(f"--tags must be at most {seed_text.TAGS_MAX}: there are no more names.")


def _removable_users() -> models.QuerySet[User]:
    return User.objects.filter(
        Q(is_staff=False, is_superuser=False) | Q(email__in=[demo.AUTHOR_EMAIL, demo.STAFF_EMAIL])
    )


def _anything_is_there() -> bool:
    return _removable_users().exists() or Post.objects.exists() or Tag.objects.exists()


def _clear() -> None:
    """Only these ids start again at 1. A user's id never comes back: an access token may still carry it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE comments_notice, comments_comment, posts_tagging, posts_post, posts_tag RESTART IDENTITY CASCADE"
        )
    _removable_users().delete()


class _Seeder:
    """Each kind of row has its own stream of random numbers, so that more posts do not rename the users."""

    def __init__(self, size: Size, random_seed: int, until: datetime, advance: Callable[[int], object]) -> None:
        self.size = size
        self.random_seed = random_seed
        self.until = until
        self.advance = advance

    def run(self) -> None:
        self.users = self._insert(User, self._users())
        roles.join(roles.AUTHOR, [user.pk for user in self.users])
        self.joined = [user.date_joined for user in self.users]
        self.tags = self._insert(Tag, self._tags())
        self.topics: list[Topic] = []
        self.posts = self._insert(Post, self._posts())
        self._insert(Tagging, self._taggings(), count_rows=False)
        self._insert(Comment, self._comments())
        # Deferred constraints are due here already: a wrong row then fails in the seed, not at the commit.
        connection.check_constraints()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE users_user, posts_post, posts_tag, posts_tagging, comments_comment")

    def _random(self, kind: str) -> Random:
        return Random(f"{self.random_seed}/{kind}")  # noqa: S311 - nothing secret

    def _insert(self, model: type[Row], rows: Iterable[Row], *, count_rows: bool = True) -> list[Row]:
        stored: list[Row] = []
        iterator = iter(rows)
        while batch := list(islice(iterator, BATCH)):
            stored += model._default_manager.bulk_create(batch)
            if count_rows:
                self.advance(len(batch))
        return stored

    def _users(self) -> Iterator[User]:
        random = self._random("users")
        password = make_password(demo.PASSWORD)
        # Members of the first hour, so that every post of the window finds an author.
        founders = max(2, self.size.users // 5)
        opening = self.until - WINDOW - timedelta(days=10)
        joined = [opening - timedelta(days=300) * random.random() for _ in range(founders)]
        joined += [opening + WINDOW * random.random() for _ in range(self.size.users - founders)]
        logins = {
            0: User(email=demo.AUTHOR_EMAIL, first_name="Ada", last_name="Okonkwo", password=password),
            1: User(
                email=demo.STAFF_EMAIL,
                first_name="Grace",
                last_name="Lindholm",
                password=password,
                is_staff=True,
                is_superuser=True,
            ),
        }
        taken = {demo.AUTHOR_EMAIL, demo.STAFF_EMAIL, *User.objects.values_list("email", flat=True)}
        for position, at in enumerate(sorted(joined)):
            user = logins.get(position) or self._stranger(random, taken)
            user.date_joined = user.last_login = at
            user.bio = seed_text.bio(random)
            if position in logins or random.random() < 0.85:
                user.email_verified_at = at + timedelta(minutes=1 + 90 * random.random())
            yield user

    def _stranger(self, random: Random, taken: set[str]) -> User:
        first_name, last_name = seed_text.person(random)
        name, domain = seed_text.mail_name(first_name, last_name), random.choice(MAIL_DOMAINS)
        address = _first_free((f"{name}{number or ''}@{domain}" for number in count()), taken)
        return User(email=address, first_name=first_name, last_name=last_name, password=make_password(None))

    def _tags(self) -> Iterator[Tag]:
        for name in seed_text.tag_names(self.size.tags):
            yield Tag(name=name, slug=slugify(name))

    def _posts(self) -> Iterator[Post]:
        random = self._random("posts")
        names = {tag.name for tag in self.tags}
        topics = [topic for topic in TOPICS if topic.name in names] or list(TOPICS)
        titles: set[str] = set()
        slugs: set[str] = set()
        for position in range(self.size.posts):
            topic = random.choice(topics)
            self.topics.append(topic)
            title, body = _fresh_title(random, topic, titles), seed_text.body(random, topic)
            base = make_slug(title)
            slug = _first_free((f"{base}-{number}" if number > 1 else base for number in count(1)), slugs)
            post = Post(title=title, body=body, slug=slug, excerpt=excerpt(body, EXCERPT_MAX))
            post.status = next(iter(random.choices(list(STATUS_SHARES), list(STATUS_SHARES.values()))))
            if position < len(FIRST_STATUSES):
                post.status = FIRST_STATUSES[position]
            self._date(random, post)
            writer = 0 if position < len(FIRST_STATUSES) else active_member(random, self.joined, post.created_at)
            post.author = self.users[writer]
            yield post

    def _date(self, random: Random, post: Post) -> None:
        """Created, published and changed in this order; only what is scheduled lies in the future."""
        written_in = timedelta(days=6) * random.random()
        edits = next(iter(random.choices((0, 1, 2, 5), (60, 25, 10, 5))))
        if post.status == PostStatus.DRAFT:
            post.created_at = self.until - timedelta(days=1) - timedelta(days=60) * random.random()
        elif post.status == PostStatus.SCHEDULED:
            post.created_at = self.until - timedelta(hours=1) - written_in
            post.published_at = self.until + timedelta(days=2) + timedelta(days=20) * random.random()
        else:
            post.published_at = self.until - timedelta(hours=1) - WINDOW * random.random()
            post.created_at = post.published_at - written_in
        changed = post.created_at if post.published_at is None else min(post.published_at, self.until)
        post.updated_at = changed + 0.3 * random.random() * (self.until - changed) if edits else changed
        post.version = 1 + edits + (post.status != PostStatus.DRAFT)

    def _taggings(self) -> Iterator[Tagging]:
        random = self._random("taggings")
        by_name = {tag.name: tag for tag in self.tags}
        most = min(len(self.tags), TAGS_OF_A_POST_MAX)
        for post, topic in zip(self.posts, self.topics, strict=True):
            number = random.choices(range(most + 1), TAG_COUNT_SHARES[: most + 1])[0]
            others = random.sample(self.tags, number)
            own = by_name.get(topic.name)
            chosen = [own, *(tag for tag in others if tag is not own)][:number] if own else others
            for position, tag in enumerate(chosen):
                yield Tagging(post=post, tag=tag, position=position)

    def _comments(self) -> Iterator[Comment]:
        if not self.size.comments:
            return
        published = [
            post.published_at if post.status in {PostStatus.PUBLISHED, PostStatus.ARCHIVED} else None
            for post in self.posts
        ]
        plan = plan_threads(self._random("threads"), published, self.joined, self.until, self.size.comments, DEPTH_MAX)
        random = self._random("comments")
        ids = _reserved_comment_ids(len(plan))
        for planned, pk in zip(plan, ids, strict=True):
            parent = planned.parent
            addressee = None if parent is None else self.users[plan[parent].author].first_name
            text = seed_text.comment(random, self.topics[planned.post], addressee)
            yield Comment(
                pk=pk,
                post_id=self.posts[planned.post].pk,
                author_id=self.users[planned.author].pk,
                parent_id=None if parent is None else ids[parent],
                depth=planned.depth,
                body="" if planned.deleted_at else text,
                created_at=planned.created_at,
                edited_at=planned.edited_at,
                deleted_at=planned.deleted_at,
            )


def _fresh_title(random: Random, topic: Topic, taken: set[str]) -> str:
    """A title that was not used yet; an old one when a few attempts give no other."""
    drawn = [seed_text.title(random, topic) for _ in range(8)]
    title = next((title for title in drawn if title not in taken), drawn[0])
    taken.add(title)
    return title


def _first_free(candidates: Iterator[str], taken: set[str]) -> str:
    free = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(free)
    return free


def _reserved_comment_ids(number: int) -> list[int]:
    """Ids that no other session will get: a reply has to know its parent's before either is stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('comments_comment_id_seq') FROM generate_series(1, %s)", [number])
        return [row[0] for row in cursor.fetchall()]
