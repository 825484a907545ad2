from django.apps import AppConfig


class PostsConfig(AppConfig):
    name = "apps.posts"

    def ready(self) -> None:
        from apps.core import derived
        from apps.posts.derived import EXCERPTS
        from apps.posts.services import posts_end_with
        from apps.users.deletion import at_the_end

        at_the_end(posts_end_with)
        derived.register(EXCERPTS)
