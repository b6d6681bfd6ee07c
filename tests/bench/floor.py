"""The floor: what the signatures of one certificate cost OpenSSL alone, without a server around them.

Taken beside the load, in a process of its own that mostly sleeps, and as a mean: the server's CPU is a mean too, and a
core whose neighbour is busy does less in a second than one that is alone. `python -m tests.bench.floor` prints it as
JSON once its standard input is closed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

OPERATIONS = 20
PAUSE = 0.05
"""Seconds asleep between rounds, so that the measurement itself is a small part of the load."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Microseconds of CPU."""

    rs256_verify: float
    p256_verify: float
    p256_sign: float

    def total(self, signatures: int) -> float:
        """One certificate: the token, the proof of possession, and so many signatures of ours.

        Without a log that is the certificate's alone; with one the precertificate's and the SCT's come to it.
        """
        return self.rs256_verify + self.p256_verify + signatures * self.p256_sign


@contextmanager
def beside() -> Iterator[Callable[[], Floor]]:
    """Measures for as long as the block lasts; what it yields gives the result afterwards."""
    command = [sys.executable, "-m", "tests.bench.floor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        result: list[Floor] = []
        try:
            yield lambda: result[0]
        finally:
            process.stdin.close()
            result.append(Floor(**json.loads(process.stdout.read())))


def measure(stop: threading.Event) -> Floor:
    message = b"x" * 1000
    rsa_key = rsa.generate_private_key(65537, 2048)
    rsa_public, pkcs1, sha256 = rsa_key.public_key(), padding.PKCS1v15(), SHA256()
    token = rsa_key.sign(message, pkcs1, sha256)
    key, ecdsa = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(SHA256())
    public, proof = key.public_key(), key.sign(message, ecdsa)
    operations: list[Callable[[], object]] = [
        lambda: rsa_public.verify(token, message, pkcs1, sha256),
        lambda: public.verify(proof, message, ecdsa),
        lambda: key.sign(message, ecdsa),
    ]
    spent, rounds = [0.0] * len(operations), 0
    while not stop.wait(PAUSE) or not rounds:
        for number, operation in enumerate(operations):
            started = time.process_time()
            for _ in range(OPERATIONS):
                operation()
            spent[number] += time.process_time() - started
        rounds += 1
    return Floor(*(seconds / rounds / OPERATIONS * 1e6 for seconds in spent))


def main() -> None:
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print(json.dumps(asdict(measure(stop))))


if __name__ == "__main__":
    main()
