"""What a certificate costs, against the cryptography in it, and against Fulcio where it is installed.

Run it on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench import limits_cost, log_cost, with_log, without_log
from tests.bench.bench import Bench
from tests.bench.world import world
from tests.e2e.processes import Tools

PARTS = {
    "without-log": without_log.run,
    "with-log": with_log.run,
    "log-cost": log_cost.run,
    "limits-cost": limits_cost.run,
}


def main() -> None:
    options = _options()
    console = Console()
    console.width = max(console.width, 120)
    with tempfile.TemporaryDirectory(prefix="dayfly-bench-") as name, world(Path(name)) as made:
        bench = Bench(
            console,
            Path(name),
            made,
            options.certificates,
            Tools.installed(),
            options.skip_fulcio,
            options.profile,
            options.beside,
        )
        for part in options.parts or PARTS:
            PARTS[part](bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--certificates", type=int, default=8000, help="to ask of each server (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="run Dayfly without a log once more under cProfile")
    parser.add_argument("--beside", type=Path, help="a work tree of another commit, for limits-cost to measure too")
    parser.add_argument("--skip-fulcio", action="store_true", help="even if it is installed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
