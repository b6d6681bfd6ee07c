"""Fuzz everything that reads what others wrote: `python -m tests.fuzz [TARGET…]`, FUZZ_SECONDS (60) each.

With FUZZ_RUNS it is that many inputs instead, and the same ones every time, for a gate that says of a commit what it said
before. Inputs that found something new are kept in .fuzz/TARGET and are where the next run begins; what broke a property is in
.fuzz/findings. Ends with status 1 if anything did.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.fuzz.targets import TARGETS

SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
RUNS = int(os.environ.get("FUZZ_RUNS", "0"))
WORK = Path(".fuzz")
FINDINGS = WORK / "findings"
HANG, MEMORY, LONGEST = 10, 1024, 64 * 1024
"""Seconds for one input, MiB of the process, bytes of an input: what the server reads at most."""


def main() -> None:
    console = Console()
    names = sys.argv[1:] or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        sys.exit(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        console.print("[yellow]Skipped: atheris has no wheel for this Python or machine, so nothing is fuzzed here.[/]")
        return
    FINDINGS.mkdir(parents=True, exist_ok=True)
    table = Table(
        "target", "inputs", "inputs/s", "kept", "", title=f"Fuzzed, {RUNS or SECONDS} {'inputs' if RUNS else 's'} each"
    )
    outputs = {name: fuzz(name) for name in track(names, "fuzzing", console=console, transient=True)}
    for name, run in outputs.items():
        verdict = "[green]nothing found[/]" if run.returncode == 0 else "[red]found[/]"
        kept = len(list((WORK / name).iterdir()))
        table.add_row(name, _figure(run.stderr, "number_of_executed_units"), _speed(run.stderr), f"{kept}", verdict)
    console.print(table)
    for name, run in outputs.items():
        if run.returncode:
            console.print(f"{name}:\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}", style="red", markup=False)
    sys.exit(any(run.returncode for run in outputs.values()))


def fuzz(name: str) -> subprocess.CompletedProcess[str]:
    corpus = WORK / name
    corpus.mkdir(exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    length = ["-seed=1", f"-runs={RUNS}"] if RUNS else [f"-max_total_time={SECONDS}"]
    command = [sys.executable, "-m", "tests.fuzz.one", name, corpus, *length, f"-timeout={HANG}"]
    command += [f"-rss_limit_mb={MEMORY}", f"-max_len={LONGEST}", "-print_final_stats=1"]
    command += [f"-artifact_prefix={FINDINGS}/{name}-"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", check=False)


def _figure(output: str, name: str) -> str:
    found = re.search(rf"stat::{name}:\s*(\d+)", output)
    return found[1] if found else ""


def _speed(output: str) -> str:
    return _figure(output, "average_exec_per_sec")


if __name__ == "__main__":
    main()
