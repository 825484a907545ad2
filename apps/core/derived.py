"""What is stored although it follows from something else: whether it still does, and putting it right.

The slices say what that is, because this package does not know them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

# Rows a transaction: few enough that nobody waits for their locks.
BATCH = 100
EXAMPLES = 5


@dataclass(frozen=True)
class Derived:
    """Something derived. `wrong` gives the keys of the rows where it is not what it should be, reading in batches.

    `repair` puts some of these right, in a transaction with the locks that the services take, and looks again under
    them: a row may have been put right, or be gone, by then.
    """

    name: str
    wrong: Callable[[], Iterable[int]]
    repair: Callable[[Sequence[int]], None]


@dataclass(slots=True)
class Finding:
    """How much of it was found to be wrong, the first few keys, and how much of it still is."""

    name: str
    found: int = 0
    left: int = 0
    examples: list[int] = field(default_factory=list)


_derived: list[Derived] = []


def register(*derived: Derived) -> None:
    """Have these verified. For the `ready` of an AppConfig."""
    _derived.extend(derived)


def verified(*, repair: bool) -> Iterator[Finding]:
    """What a look at each gives, one after the other; with `repair` what is wrong is put right first, where it can be.

    It may run beside itself and beside the services.
    """
    for each in _derived:
        finding = Finding(each.name)
        keys = iter(each.wrong())
        while batch := list(islice(keys, BATCH)):
            finding.found += len(batch)
            finding.examples += batch[: EXAMPLES - len(finding.examples)]
            if repair:
                each.repair(batch)
        finding.left = sum(1 for _ in each.wrong()) if repair and finding.found else finding.found
        yield finding
