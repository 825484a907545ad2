"""Django's connections of a drill: a process may die right before a commit, or right after it."""

from apps.core.postgresql import base
from tests.faults import killer


class DatabaseWrapper(base.DatabaseWrapper):
    def _commit(self) -> None:
        killer.at("before_commit")
        super()._commit()  # type: ignore[misc]  # django-stubs knows no more than what is public
        killer.at("after_commit")
