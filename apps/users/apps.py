from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "apps.users"

    def ready(self) -> None:
        from apps.core import purging
        from apps.users.keys import ring
        from apps.users.services import purges

        # Without good keys nothing starts.
        ring()
        purging.register(purges())
