"""A small world in which every relation leads somewhere, of a size that the test chooses."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from apps.comments.models import Comment
from apps.posts.models import TAGS_MAX, Post, PostStatus, Tag, Tagging
from apps.users import roles
from apps.users.models import Session, User

BEGIN = datetime(2026, 2, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    writers: list[User]
    commenters: list[User]
    tags: list[Tag]
    posts: list[Post]
    drafts: list[Post]
    comments: list[Comment]
    replies: list[Comment]
    sessions: list[Session]


def make_world(size: int) -> World:
    """`size` (even) writers, commenters, tags, published posts and drafts, and `size` comments on each post.

    Each writer has written one post and one draft, and has two sessions; a post has `size` tags, but at most 10; half
    of its comments are replies to the other half. No list but those at the root is longer than `size`.
    """
    writers, commenters = _make_users("Writer", size), _make_users("Commenter", size)
    sessions = Session.objects.bulk_create(
        Session(user=user, user_agent="Test", ip="192.0.2.1", expires_at=timezone.now() + timedelta(days=1))
        for user in writers
        for _ in range(2)
    )
    tags = Tag.objects.bulk_create(Tag(name=f"World tag {place}", slug=f"world-{place}") for place in range(size))
    posts = Post.objects.bulk_create(_post(user, place, PostStatus.PUBLISHED) for place, user in enumerate(writers))
    drafts = Post.objects.bulk_create(_post(user, place, PostStatus.DRAFT) for place, user in enumerate(writers))
    Tagging.objects.bulk_create(
        Tagging(post=post, tag=tags[(place + step) % size], position=step)
        for written in (posts, drafts)
        for place, post in enumerate(written)
        for step in range(min(size, TAGS_MAX))
    )
    comments = Comment.objects.bulk_create(
        Comment(post=post, author=commenters[(place + step) % size], body="Comment", created_at=_minute(step))
        for place, post in enumerate(posts)
        for step in range(size // 2)
    )
    replies = Comment.objects.bulk_create(
        Comment(
            post_id=comment.post_id,
            author=commenters[(place + 1) % size],
            parent=comment,
            depth=1,
            body="Reply",
            created_at=_minute(size + place),
        )
        for place, comment in enumerate(comments)
    )
    return World(writers, commenters, tags, posts, drafts, comments, replies, sessions)


def _make_users(name: str, size: int) -> list[User]:
    users = User.objects.bulk_create(
        User(email=f"{name.lower()}{place}@example.com", password="!", first_name=name, last_name=f"No{place}", bio="B")
        for place in range(size)
    )
    roles.join(roles.AUTHOR, [user.pk for user in users])
    return users


def _post(author: User, place: int, status: PostStatus) -> Post:
    at = _minute(place)
    return Post(
        author=author,
        title=f"World {status} {place}",
        slug=f"world-{status}-{place}",
        excerpt="Text.",
        body="Text of the world.",
        status=status,
        published_at=at if status == PostStatus.PUBLISHED else None,
        created_at=at,
        updated_at=at,
    )


def _minute(number: int) -> datetime:
    return BEGIN + timedelta(minutes=number)
