from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "apps.users"

    def ready(self) -> None:
        from apps.users.keys import ring

        # Without good keys nothing starts.
        ring()
