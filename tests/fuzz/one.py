"""One fuzzer in a process of its own: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]`.

Python's branches count as libFuzzer's coverage does, for what is of Dayfly.
"""

from __future__ import annotations

import logging
import sys

import atheris
import structlog

with atheris.instrument_imports(include=["ca"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, corpus, *options = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    atheris.Setup([sys.argv[0], corpus, *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
