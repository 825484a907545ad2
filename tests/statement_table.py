"""How many SQL statements each root field of Query takes; `python -m tests.statement_table` prints it as Markdown.

`tests/test_statement_budgets.py` proves each number twice, with 2 and with 20 rows in every list. The viewer is
signed in, and finding out who that is takes one statement of each number.
"""

import sys
from typing import NamedTuple


class Budget(NamedTuple):
    """Statements for the rows of a field with everything on them, and with all their relations too."""

    rows: int
    relations: int


BUDGETS = {
    "node": Budget(3, 8),
    "nodes": Budget(8, 23),
    "viewer": Budget(1, 7),
    "user": Budget(2, 8),
    "users": Budget(3, 10),
    "post": Budget(3, 8),
    "posts": Budget(4, 9),
    "tags": Budget(3, 6),
    "comment": Budget(3, 9),
}
FEED_BUDGET = 7


def table() -> str:
    lines = [
        "| root field | its rows, N = 2 | N = 20 | and all their relations, N = 2 | N = 20 |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {budget.rows} | {budget.rows} | {budget.relations} | {budget.relations} |"
        for name, budget in BUDGETS.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
