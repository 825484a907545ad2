from django.apps import AppConfig


class CommentsConfig(AppConfig):
    name = "apps.comments"

    def ready(self) -> None:
        from apps.comments.derived import DEPTHS, PLACES
        from apps.comments.services import comments_end_with
        from apps.core import derived
        from apps.users.deletion import at_the_end

        at_the_end(comments_end_with)
        derived.register(DEPTHS, PLACES)
