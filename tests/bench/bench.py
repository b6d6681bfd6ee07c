"""What every comparison of one run shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.bench import rounds
from tests.bench.rounds import Plan, Result
from tests.bench.servers import System
from tests.bench.world import World, requests
from tests.e2e.processes import Tools


@dataclass(slots=True)
class Bench:
    console: Console
    directory: Path
    """For the files of all servers."""
    world: World
    certificates: int
    """To ask of each system."""
    tools: Tools
    alone: bool
    """Whether to leave everything but Dayfly out."""
    profile: bool
    beside: Path | None = None
    """Another work tree of Dayfly, such as of an older commit, to measure in turns with this one."""
    _requests: list[bytes] = field(default_factory=list)

    def has(self, *programs: str) -> bool:
        """Whether to run what needs these; says so where they are missing."""
        if self.alone:
            return False
        found = self.tools.has(*programs)
        if not found:
            self.console.print(f"Missing, so left out: {', '.join(programs)}. tests/e2e/install-tools installs them.")
        return found

    def measure(self, systems: Mapping[str, System], plan: Plan) -> dict[str, Result]:
        """As `rounds.measure`, with requests made here, and progress shown."""
        columns = TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self.console, transient=True) as progress:
            missing = range(len(self._requests), plan.requests)
            made = requests(self.world, missing)
            self._requests += progress.track(made, total=len(missing), description="making requests")
            tasks = {name: progress.add_task(name, total=plan.certificates) for name in systems}
            return rounds.measure(
                systems, self._requests, plan, lambda name, done: progress.update(tasks[name], completed=done)
            )
