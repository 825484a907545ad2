"""The rows that `in_process.py` reads: a blog in memory, of the same shape as the peers' data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

USERS, TAGS, POSTS = 2_000, 200, 1_000
TAGS_OF_POST = 3
# Beyond any page of comments that is asked for, so that each page is full.
COMMENTS_OF_POST = range(25, 36)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
WORDS = ("time", "year", "people", "way", "day", "thing", "life", "child", "world", "school", "state", "family")


@dataclass(slots=True)
class User:
    id: int
    first_name: str
    last_name: str


@dataclass(slots=True)
class Tag:
    id: int
    name: str


@dataclass(slots=True)
class Post:
    id: int
    author_id: int
    title: str
    slug: str
    published_at: datetime


@dataclass(slots=True)
class Comment:
    id: int
    author_id: int
    body: str
    created_at: datetime


class Blog:
    """1,000 posts, newest first, and what belongs to them. It is the same each time.

    Its methods stand for statements: they take the keys of a level, and give one value for each, in their order.
    """

    def __init__(self) -> None:
        self._random = Random(20261122)  # noqa: S311  (nothing secret)
        self._comments_made = 0
        self._users = {key: self._user(key) for key in range(1, USERS + 1)}
        tags = [Tag(key, f"tag-{self._text(6)}-{key}") for key in range(1, TAGS + 1)]
        self._posts = [self._post(key) for key in range(POSTS, 0, -1)]
        self._tags = {post.id: self._random.sample(tags, TAGS_OF_POST) for post in self._posts}
        self._comments = {post.id: self._comments_on(post) for post in self._posts}

    def newest_posts(self, first: int) -> list[Post]:
        return self._posts[:first]

    def users(self, keys: Iterable[int]) -> list[User]:
        return [self._users[key] for key in keys]

    def tags_of(self, posts: Iterable[int]) -> list[list[Tag]]:
        return [self._tags[post] for post in posts]

    def comment_counts_of(self, posts: Iterable[int]) -> list[int]:
        return [len(self._comments[post]) for post in posts]

    def comments_of(self, posts: Iterable[int], first: int) -> list[list[Comment]]:
        return [self._comments[post][:first] for post in posts]

    def _user(self, key: int) -> User:
        return User(key, self._text(7).title(), self._text(7).title())

    def _post(self, key: int) -> Post:
        title = self._text(55).title()
        return Post(key, self._author(), title, f"{title.lower().replace(' ', '-')}-{key}", _moment(key * 9_000))

    def _comments_on(self, post: Post) -> list[Comment]:
        """An object of its own for each comment, because an object that occurs twice is resolved once."""
        return [self._comment(post) for _ in range(self._random.choice(COMMENTS_OF_POST))]

    def _comment(self, post: Post) -> Comment:
        self._comments_made += 1
        created_at = post.published_at + timedelta(seconds=200 * self._comments_made)
        return Comment(self._comments_made, self._author(), self._text(200), created_at)

    def _author(self) -> int:
        return self._random.randint(1, USERS)

    def _text(self, size: int) -> str:
        return " ".join(self._random.choices(WORDS, k=size // 3))[:size].strip()


def _moment(seconds: int) -> datetime:
    # With microseconds, as PostgreSQL has them.
    return EPOCH + timedelta(seconds=seconds, microseconds=seconds * 7_919 % 1_000_000)
