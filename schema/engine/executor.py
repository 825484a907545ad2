"""Where the engine is plugged in: what Strawberry takes as `execution_context_class`."""

from __future__ import annotations

from typing import Any, ClassVar

from schema.engine import internals
from schema.engine.execute import Execution
from schema.engine.planner import Plans


class BreadthFirstExecutor(internals.Executor):
    """Runs each operation that the engine covers on it, and hands any other to graphql-core, whole."""

    plans: ClassVar[Plans] = Plans()

    def execute_operation(self, serially: bool | None = None) -> Any:
        plan = self.plans.of(self) if internals.covers(self) else None
        if plan is None:
            return super().execute_operation(serially)
        return Execution(self).run(plan)
