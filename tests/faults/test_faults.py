"""Nothing that was acknowledged is lost, and nothing is done twice, whatever ends in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import brokers
from tests.faults.drill import POSTS, drill
from tests.faults.scenarios import SCENARIOS
from tests.faults.system import system

WRITES = 1_000


# `python -m tests.faults` does each fault by itself, and prints what became of the writes.
@pytest.mark.parametrize("broker", brokers.NAMES)
def test_what_was_acknowledged_is_done_once_whatever_happens(broker: str, tmp_path: Path) -> None:
    if not brokers.is_there(broker):
        pytest.skip(f"NOT TESTED: there is no {broker} on this machine")
    scenario = SCENARIOS["everything"]
    with system(broker, tmp_path) as running:
        outcome = drill(running, WRITES, scenario)
    assert (outcome.lost, outcome.doubled) == (0, 0), outcome
    assert outcome.acknowledged >= WRITES
    assert (outcome.published, outcome.dead_letters) == (POSTS, scenario.dead_letters), outcome
    assert outcome.kills >= scenario.kills
    # Nobody can send a mail and note that in one go.
    assert outcome.mailed_twice <= outcome.kills
