"""A live instance and the services beside it, held against what clients are told of them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from rich.table import Table

from ca.certificate.chain import Chain, ChainInvalid
from ca.trust import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ca.trust.model import TrustMaterial

TIMEOUT = 10.0
"""Seconds for each answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was looked at."""

    what: str
    where: str
    good: bool
    detail: str


class Differs(Exception):
    """How a service is not what clients are told."""


def check(material: TrustMaterial) -> list[Result]:
    """Ask everything that clients would ask, once."""
    with httpx.Client(timeout=TIMEOUT) as client:
        return [_result(client, *step) for step in _steps(material)]


def table(results: list[Result]) -> Table:
    shown = Table(title="Trust, checked", title_justify="left")
    for column in ("", "what", "where", ""):
        shown.add_column(column, overflow="fold")
    for result in results:
        shown.add_row("[green]ok[/]" if result.good else "[bold red]no[/]", result.what, result.where, result.detail)
    return shown


Check = tuple[str, str, "Callable[[httpx.Response], str]"]
"""What, the URL to GET, and what to make of the answer: a word about it, or Differs."""


def _steps(material: TrustMaterial) -> Iterator[Check]:
    url = material.ca_services[0].url
    yield "trust bundle", f"{url}/api/v2/trustBundle", partial(_bundle, material)
    for name, document in (("trustedRoot", documents.trusted_root), ("signingConfig", documents.signing_config)):
        yield name, f"{url}/api/v2/{name}", partial(_same, document(material))
    if any(log.base_url.startswith(f"{url}/") for log in material.ctlogs):
        yield "CT log", f"{url}/api/v2/ctlog", partial(_ctlog, material)
    for service in material.oidc_services:
        where = f"{service.url}/.well-known/openid-configuration"
        yield "issuer", where, partial(_issuer, service.url)
    for authority in material.timestamp_authorities:
        where = f"{authority.uri}/certchain"
        yield "timestamps", where, partial(_chain, authority.chain.ders)
    for log in material.tlogs:
        where = f"{log.base_url}/api/v2/checkpoint"  # rekor-tiles: GetCheckpoint in rekor_service.proto
        yield "Rekor", where, partial(_checkpoint, log.log_id)


def _result(client: httpx.Client, what: str, url: str, examine: Callable[[httpx.Response], str]) -> Result:
    try:
        return Result(what, url, good=True, detail=examine(_found(client.get(url))))
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        return Result(what, url, good=False, detail=f"no answer: {str(problem) or type(problem).__name__}")
    except Differs as problem:
        return Result(what, url, good=False, detail=str(problem))


def _found(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != 200:
        raise Differs(f"it answers {answer.status_code}")
    return answer


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError as problem:
        raise Differs("it does not answer in JSON; is it another server's?") from problem
    if not isinstance(content, dict):
        raise Differs("it does not answer with a JSON object; is it another server's?")
    return content


def _bundle(material: TrustMaterial, answer: httpx.Response) -> str:
    """Every chain that certificates may come with is trusted, byte for byte: sigstore-java compares them so."""
    trusted = {authority.chain.ders for authority in material.authorities}
    served = [_parsed("".join(chain["certificates"])) for chain in _object(answer).get("chains", [])]
    if not served:
        raise Differs("it names no chain")
    if unknown := [chain for chain in served if chain.ders not in trusted]:
        raise Differs(
            f"it issues from {unknown[0].certificates[0].subject.rfc4514_string()}, which is not trusted here"
        )
    return f"{len(served)} of {len(trusted)} trusted chains in use"


def _same(expected: dict[str, Any], answer: httpx.Response) -> str:
    served = _object(answer)
    different = [name for name in {**expected, **served} if expected.get(name) != served.get(name)]
    if different:
        raise Differs(
            f"it differs from this configuration in {', '.join(different)}; restart the server, or correct it"
        )
    return "as configured"


def _ctlog(material: TrustMaterial, answer: httpx.Response) -> str:
    log_id = _object(answer).get("logId")
    if log_id not in {b64encode(log.log_id).decode() for log in material.ctlogs}:
        raise Differs(f"its log is {log_id}, which is not trusted here")
    return f"log {log_id}"


def _issuer(issuer: str, answer: httpx.Response) -> str:
    named = _object(answer).get("issuer")
    if named != issuer:
        raise Differs(f"it calls itself {named!r}")
    return "as configured"


def _chain(ders: tuple[bytes, ...], answer: httpx.Response) -> str:
    if _parsed(answer.text).ders != ders:
        raise Differs("its chain is another one than is trusted here")
    return f"{len(ders)} certificates"


def _parsed(pem: str) -> Chain:
    try:
        return Chain.parse(pem.encode())
    except ChainInvalid as problem:
        raise Differs(f"its chain cannot be read: {problem}") from problem


def _checkpoint(log_id: bytes, answer: httpx.Response) -> str:
    """The key that signs it, by the first four bytes of its id (C2SP signed-note); the signature is not verified."""
    origin, _, _ = answer.text.partition("\n")
    for line in answer.text.splitlines():
        if line.startswith("— ") and b64decode(line.split(" ")[-1])[:4] == log_id[:4]:
            return f"log {origin}"
    raise Differs("its checkpoints are signed by another key than is trusted here, or it has another origin")
