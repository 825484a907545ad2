"""What can be heard of posts as it happens."""

import strawberry

from apps.posts.api.types import PostType
from apps.posts.models import Post
from apps.posts.policies import can_see_post
from apps.posts.tasks import POST_PUBLISHED
from apps.users.models import User
from schema.context import Info
from schema.engine import live_field
from schema.subscriptions import MaySee, News, On


def _seen_by(post: Post) -> MaySee:
    def may_see(viewer: User | None) -> bool:
        return can_see_post(viewer, post)

    return may_see


posts_published = News(Post.objects.all, _seen_by)


async def post_published(info: Info) -> On[Post]:
    return On(POST_PUBLISHED, posts_published)


@strawberry.type
class PostSubscription:
    post_published: PostType = live_field(
        post_published, description="Each post that is published from now on, at once or on its date."
    )
