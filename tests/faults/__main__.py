"""Prints the table of faults; the names of scenarios or brokers choose some."""

import sys
import tempfile
from pathlib import Path

from tests.faults import brokers
from tests.faults.drill import drill
from tests.faults.scenarios import SCENARIOS
from tests.faults.system import system

WRITES = 1_000


COLUMNS = ("fault", "broker", "sent", "done", "lost", "doubled", "mailed twice", "kills", "posts", "dead letters")


def main(chosen: list[str]) -> None:
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n")
    for scenario in SCENARIOS.values():
        for name in brokers.NAMES:
            if chosen and not {scenario.name, name} & {*chosen}:
                continue
            with tempfile.TemporaryDirectory() as folder, system(name, Path(folder)) as running:
                outcome = drill(running, WRITES, scenario)
            cells = (
                scenario,
                name,
                outcome.acknowledged,
                outcome.done,
                outcome.lost,
                outcome.doubled,
                outcome.mailed_twice,
                outcome.kills,
                outcome.published,
                outcome.dead_letters,
            )
            sys.stdout.write("| " + " | ".join(map(str, cells)) + " |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
