from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CoreConfig(AppConfig):
    name = "apps.core"

    def ready(self) -> None:
        from apps.core import purging, statements
        from config import checks  # noqa: F401  (importing registers them)

        purging.register(purging.of_core())
        connection_created.connect(statements.count_on, dispatch_uid="statements")
