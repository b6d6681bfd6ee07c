"""The log's own endpoints: RFC 6962 to write, static-ct-api, tlog-tiles and RFC 6962 to read, proofs for offline use.

https://c2sp.org/static-ct-api, https://c2sp.org/tlog-tiles, https://c2sp.org/tlog-proof. Errors below a log's prefix
are words in plain text, as CT clients print them (RFC 6962 §4); those below /api are as everywhere there.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ca.api import answers
from ca.api.edge import read_body
from ca.ct.checkpoint import verifier_key
from ca.ct.embedded.reader import NotInLog, OutOfRange
from ca.ct.rfc6962 import SCT
from ca.ct.static_ct import TilePathInvalid, parse_tile_path
from ca.ct.submission import SubmissionInvalid, SubmissionTooLarge
from ca.errors import Code, DayflyError, LogFrozen, LogRefused, LogUnavailable, MalformedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from starlette.requests import Request

    from ca.api.edge import Handler
    from ca.ct.embedded.reader import Reader
    from ca.ct.model import Submission
    from ca.ct.submission import AcceptedRoots

BODY_LIMIT: Final = 128 * 1024
"""Bytes of a submission: the largest certificate that a log takes, in base64, with a usual chain."""
RETRY_AFTER: Final = 30
"""Seconds to wait for a log that cannot say itself when it will take certificates again."""

_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_REVALIDATE: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class _Chain(msgspec.Struct):
    """The body of add-chain and add-pre-chain, RFC 6962 §4.1; bytes are base64."""

    chain: list[bytes]


_CHAIN: Final = msgspec.json.Decoder(_Chain)


@dataclass(frozen=True, slots=True)
class ServedLog:
    """A log under its prefix."""

    prefix: str
    """The path, such as `/ctlog`; with the host before it, what clients call the submission prefix."""
    reader: Reader
    roots: Callable[[], AcceptedRoots]
    """As they are now."""
    log_key: EllipticCurvePublicKey
    note_key: Ed25519PublicKey
    add: Callable[[Submission], Awaitable[SCT]] | None
    """`EmbeddedLog.add`; None for a log that is here to be read alone."""


class CTLogEndpoints:
    """All logs that a server has: the current one, and older ones to be read."""

    def __init__(self, current: ServedLog, older: Sequence[ServedLog] = ()) -> None:
        self._current = current
        self._by_id = {log.reader.log_id: log for log in (current, *older)}
        self.below: Mapping[str, Handler] = {log.prefix: _Endpoints(log) for log in (current, *older)}
        """Handlers for every path below a prefix."""
        self.routes: Mapping[str, Mapping[str, Handler]] = {
            "/api/v2/ctlog": {"GET": self.info},
            "/api/v2/ctlog/proof": {"GET": self.proof},
        }

    async def info(self, _request: Request) -> Response:
        """What a verifier configures."""
        log = self._current
        return answers.JSON(
            {
                "origin": log.reader.origin,
                "prefix": log.prefix,
                "logId": _base64(log.reader.log_id),
                "publicKey": log.log_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
                "verifierKey": verifier_key(log.reader.origin, log.note_key),
            }
        )

    async def proof(self, request: Request) -> Response:
        """A C2SP tlog-proof@v1 of the entry with a leaf index, or of the one that an SCT promises."""
        try:
            text = await self._offline_proof(request)
        except DayflyError as problem:
            return answers.error(problem, request.state.request_id)
        except NotInLog as problem:
            return answers.JSON(answers.status_body(Code.NOT_FOUND, str(problem)), 404)
        return Response(text, media_type="text/plain", headers={"Cache-Control": _REVALIDATE})

    async def _offline_proof(self, request: Request) -> str:
        match sorted(request.query_params):
            case ["leaf_index"]:
                reader = self._current.reader
                return await asyncio.to_thread(reader.offline_proof, _number(request, "leaf_index"))
            case ["sct"]:
                sct = _sct(_bytes(request, "sct"))
                log = self._by_id.get(sct.log_id)
                if log is None:
                    raise NotInLog(f"there is no log {sct.log_id.hex()} here, which gave this SCT")
                return await asyncio.to_thread(lambda: log.reader.offline_proof(log.reader.index_promised(sct)))
        raise MalformedRequest("expected either leaf_index or sct, the base64 of a serialized SCT, in the query")


class _Endpoints:
    """What is below the prefix of one log."""

    def __init__(self, log: ServedLog) -> None:
        self._log = log
        self._reader = log.reader
        self._add: Mapping[str, Callable[[Sequence[bytes]], Submission]] = {
            "add-chain": lambda unverified_chain: log.roots().certificate(unverified_chain),
            "add-pre-chain": lambda unverified_chain: log.roots().precertificate(unverified_chain),
        }
        self._get: Mapping[str, Callable[[Request], Response]] = {
            "get-sth": self._get_sth,
            "get-sth-consistency": self._get_sth_consistency,
            "get-proof-by-hash": self._get_proof_by_hash,
            "get-entries": self._get_entries,
            "get-entry-and-proof": self._get_entry_and_proof,
            "get-roots": self._get_roots,
        }

    async def __call__(self, request: Request) -> Response:
        path = request.scope["path"].removeprefix(f"{self._log.prefix}/")
        function = path.removeprefix("ct/v1/") if path.startswith("ct/v1/") else ""
        submission = self._add.get(function)
        methods = {"POST"} if submission else {"GET", "HEAD"}
        if request.method not in methods:
            return _words(405, f"expected {' or '.join(sorted(methods))}", Allow=", ".join(sorted(methods)))
        try:
            answer = await (self._submit(request, submission) if submission else self._read(request, path, function))
        except ClientDisconnect:
            raise
        except (MalformedRequest, OutOfRange, SubmissionInvalid) as problem:
            answer = _words(413 if isinstance(problem, SubmissionTooLarge) else 400, str(problem))
        except (NotInLog, TilePathInvalid) as problem:
            answer = _words(404, str(problem))
        except DayflyError as problem:
            answer = _trouble(problem)
        if answer.status_code >= 400:
            request.state.record["detail"] = bytes(answer.body).decode().rstrip()
        return answer

    # ---- writing --------------------------------------------------------------------------------------------

    async def _submit(self, request: Request, submission: Callable[[Sequence[bytes]], Submission]) -> Response:
        """RFC 6962 §4.1, §4.2."""
        try:
            body = await read_body(request, BODY_LIMIT)
        except MalformedRequest as problem:
            raise SubmissionTooLarge(problem.detail) from problem
        try:
            unverified_chain = _CHAIN.decode(body).chain
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:  # deep nesting is the last
            raise SubmissionInvalid(
                f'the body is not the JSON object {{"chain": [base64 of DER, …]}} of RFC 6962 section 4.1: {problem}'
            ) from problem
        if self._log.add is None:
            raise LogFrozen("it is here to be read alone; its successor takes certificates now")
        sct = await self._log.add(submission(unverified_chain))
        return Response(sct.add_chain_response(), media_type="application/json")

    # ---- reading --------------------------------------------------------------------------------------------

    async def _read(self, request: Request, path: str, function: str) -> Response:
        if get := self._get.get(function):
            return await asyncio.to_thread(get, request)
        if path == "checkpoint":
            return await asyncio.to_thread(self._checkpoint)
        if path.startswith("tile/"):
            return await asyncio.to_thread(self._tile, path, request.headers.get("accept-encoding", ""))
        if path.startswith("issuer/"):
            return await asyncio.to_thread(self._issuer, path.removeprefix("issuer/"))
        raise NotInLog("there is no such path below the log's prefix")

    def _checkpoint(self) -> Response:
        checkpoint = self._reader.checkpoint()
        return Response(checkpoint, media_type="text/plain", headers={"Cache-Control": _REVALIDATE})

    def _tile(self, path: str, accept_encoding: str) -> Response:
        tile = parse_tile_path(path)
        content = self._reader.tile(tile)
        headers = {"Cache-Control": _FOR_EVER}
        if tile.kind != "hash":  # hashes do not get smaller
            headers["Vary"] = "Accept-Encoding, Origin"
            if _accepts_gzip(accept_encoding):
                headers["Content-Encoding"] = "gzip"
                content = gzip.compress(content, mtime=0)
        return Response(content, media_type="application/octet-stream", headers=headers)

    def _issuer(self, fingerprint: str) -> Response:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise NotInLog("an issuer is named by the SHA-256 of its DER certificate in lower-case hexadecimal digits")
        der = self._reader.issuer(bytes.fromhex(fingerprint))
        return Response(der, media_type="application/pkix-cert", headers={"Cache-Control": _FOR_EVER})

    def _get_roots(self, _request: Request) -> Response:
        return answers.JSON({"certificates": [_base64(der) for der in self._log.roots().ders]})

    def _get_sth(self, _request: Request) -> Response:
        body = self._reader.tree_head().get_sth_response()
        return Response(body, media_type="application/json", headers={"Cache-Control": _REVALIDATE})

    def _get_sth_consistency(self, request: Request) -> Response:
        proof = self._reader.consistency_proof(_number(request, "first"), _number(request, "second"))
        return answers.JSON({"consistency": [_base64(node) for node in proof]})

    def _get_proof_by_hash(self, request: Request) -> Response:
        index, proof = self._reader.proof_by_hash(_bytes(request, "hash"), _number(request, "tree_size"))
        return answers.JSON({"leaf_index": index, "audit_path": [_base64(node) for node in proof]})

    def _get_entries(self, request: Request) -> Response:
        entries = self._reader.entries(_number(request, "start"), _number(request, "end"))
        return answers.JSON(
            {
                "entries": [
                    {"leaf_input": _base64(entry.leaf_input), "extra_data": _base64(entry.extra_data)}
                    for entry in entries
                ]
            }
        )

    def _get_entry_and_proof(self, request: Request) -> Response:
        index = _number(request, "leaf_index")
        proof = self._reader.inclusion_proof(index, _number(request, "tree_size"))
        (entry,) = self._reader.entries(index, index)
        return answers.JSON(
            {
                "leaf_input": _base64(entry.leaf_input),
                "extra_data": _base64(entry.extra_data),
                "audit_path": [_base64(node) for node in proof],
            }
        )


def _trouble(problem: DayflyError) -> Response:
    """A log's statuses, which are not those of the API: 410 and 413 tell a submitter what to change."""
    match problem:
        case LogFrozen():
            return _words(410, f"the log is frozen: {problem.detail}")
        case LogRefused():
            return _words(413, problem.detail)
        case LogUnavailable():
            return _words(503, problem.detail, **{"Retry-After": str(problem.retry_after or RETRY_AFTER)})
    return _words(answers.STATUS[problem.code], problem.public_message)


def _words(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status, {"Cache-Control": _REVALIDATE, **headers}, "text/plain")


def _number(request: Request, name: str) -> int:
    text = _parameter(request, name)
    if not _NUMBER.fullmatch(text):
        raise MalformedRequest(f"{name} is not a number in decimal")
    return int(text)


def _bytes(request: Request, name: str) -> bytes:
    try:
        return b64decode(_parameter(request, name), validate=True)
    except ValueError as problem:
        raise MalformedRequest(f"{name} is not base64, with + written as %2B in a URL") from problem


def _parameter(request: Request, name: str) -> str:
    values = request.query_params.getlist(name)
    if len(values) != 1:
        raise MalformedRequest(f"expected {name} in the query, once")
    return values[0]


def _sct(data: bytes) -> SCT:
    """Read the TLS encoding of RFC 6962 §3.2. Raises MalformedRequest."""
    end = 43 + int.from_bytes(data[41:43], "big")
    sct = SCT(data[1:33], int.from_bytes(data[33:41], "big"), data[43:end], data[end:])
    if sct.encode() != data:
        raise MalformedRequest("sct is not the base64 of a serialized SCT, version 1 (RFC 6962, 3.2)")
    return sct


def _accepts_gzip(accept_encoding: str) -> bool:
    """RFC 9110 §12.5.3, where gzip is named: nothing is sent compressed to a client that only says `*`."""
    for coding in accept_encoding.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
