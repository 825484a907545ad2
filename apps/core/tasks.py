"""Background work that belongs to no slice."""

from apps.core import pulse
from apps.core.actors import actor


@actor()
def beat(run_id: int) -> None:
    """Note that the pulse has arrived."""
    pulse.arrived(run_id)
