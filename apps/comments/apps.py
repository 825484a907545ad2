from django.apps import AppConfig


class CommentsConfig(AppConfig):
    name = "apps.comments"

    def ready(self) -> None:
        from apps.comments.services import comments_end_with
        from apps.users.deletion import at_the_end

        at_the_end(comments_end_with)
