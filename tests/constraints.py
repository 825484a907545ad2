"""For tests of what the database itself refuses."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from apps.core.db import violated_constraint


def refused(write: Callable[[], object]) -> str | None:
    """The constraint that refuses `write`, at once or at the commit."""
    try:
        with transaction.atomic():
            write()
            connection.check_constraints()
    except IntegrityError as error:
        return violated_constraint(error)
    pytest.fail("the database took it")
