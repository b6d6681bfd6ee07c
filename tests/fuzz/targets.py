"""What is fuzzed: everything that reads bytes which somebody else wrote, and what must hold whatever the bytes are.

A target returns for every input, or raises what its parser documents; everything else is a finding. Where a parser
accepts, what it understood must be what was written: one input, one reading.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from ca.api.protojson import decode
from ca.api.protojson.plain import read_plain
from ca.api.protojson.reader import read
from ca.api.wire import _V1, _V2, parse_v1, parse_v2
from ca.ct.checkpoint import CheckpointInvalid, parse_checkpoint, parse_tlog_proof, parse_verifier_key, tlog_proof
from ca.ct.rfc6962 import SCT
from ca.ct.static_ct import EntryInvalid, LogEntry, TilePathInvalid, parse_leaf_index, parse_tile_path, tile_path
from ca.ct.submission import AcceptedRoots, SubmissionInvalid
from ca.documents import parse as parse_document
from ca.errors import (
    AlgorithmNotPermitted,
    AlgorithmUnknown,
    ConfigurationError,
    CSRUnparsable,
    DayflyError,
    InvalidToken,
    KeyRejected,
    KeyUnparsable,
    MalformedRequest,
    ProofFailed,
    SCTInvalid,
    TimestampRefused,
)
from ca.identity import go_url
from ca.identity.template_nodes import MissingKeyError
from ca.identity.templates import TemplateSyntaxError, compile_template
from ca.oidc.fetch import FetchError
from ca.oidc.identity_config import read_identity_config
from ca.oidc.jwks import parse_keys
from ca.oidc.jws import parse_token
from ca.oidc.strict_json import StrictJSONError
from ca.oidc.strict_json import decode as decode_strictly
from ca.proof import prove
from ca.proof.model import KeyWithProof, SigningRequestPEM
from ca.proof.policy import KeyPolicy
from ca.timestamp.query import parse_der, parse_json
from tests.fuzz import seeds

SECRET = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
"""A run of characters as tokens, proofs and keys have it, and as no word has."""
POLICY = KeyPolicy.parse(
    ["ecdsa-sha2-256-nistp256", "ecdsa-sha2-384-nistp384", "ed25519", "rsa-sign-pkcs1-2048-sha256"]
)
ROOTS = AcceptedRoots.parse(seeds.roots())
LONG_MESSAGE = 10 * 1024
CHALLENGE = "ada@example.com"
CLAIMS = {"a": "A", "ref": "main", "url": "https://github.com", "t": "true", "empty": ""}


@dataclass(frozen=True, slots=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]


def tells_nothing(error: DayflyError, data: bytes) -> None:
    """Whatever of the input could be secret is not in what the client and the log are told."""
    told = f"{error.public_message} {error.metadata}"
    for secret in SECRET.findall(data.decode("latin-1")):
        assert secret[:40] not in told, f"the error repeats the input: {told}"


def tells_little(message: str, most: int) -> None:
    assert len(message) <= most


def has_a_place(message: str) -> None:
    assert message.startswith("identity.yaml")


def token(data: bytes) -> None:
    """Three canonical parts: no two texts are one token."""
    text = data.decode("latin-1")
    try:
        parsed = parse_token(text)
    except InvalidToken as refusal:
        tells_nothing(refusal, data)
        return
    signed = parsed.jws.signing_input
    signature = base64.urlsafe_b64encode(parsed.jws.signature).rstrip(b"=")
    assert signed + b"." + signature == text.strip(" \t\r\n").encode()
    assert isinstance(parsed.unverified_claims, dict)


def strict_json(data: bytes) -> None:
    try:
        value = decode_strictly(data)
    except StrictJSONError as problem:
        tells_little(str(problem), 200)
        return
    assert json.loads(data) == value
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def jwks(data: bytes) -> None:
    with suppress(FetchError):
        parse_keys("https://issuer.example.org", data)


def csr(data: bytes) -> None:
    try:
        proven = prove(SigningRequestPEM(data), CHALLENGE, POLICY)
    except (CSRUnparsable, KeyRejected, ProofFailed, AlgorithmUnknown, AlgorithmNotPermitted) as refusal:
        tells_nothing(refusal, data)
        return
    assert proven.spki


def key(data: bytes) -> None:
    """The last 64 bytes are the proof."""
    for der_allowed in (False, True):
        try:
            prove(KeyWithProof(data[:-64], data[-64:], der_allowed=der_allowed), CHALLENGE, POLICY)
        except (KeyUnparsable, KeyRejected, ProofFailed, AlgorithmNotPermitted) as refusal:
            tells_nothing(refusal, data)


def template(data: bytes) -> None:
    source = data.decode("utf-8", "replace")
    with suppress(TemplateSyntaxError, MissingKeyError):
        compile_template(source).render(CLAIMS)
    with suppress(TemplateSyntaxError, MissingKeyError):
        compile_template(source, index_required=True).render({})


def identity_config(data: bytes) -> None:
    """What is wrong is said with its place."""
    try:
        read_identity_config(parse_document(data.decode("utf-8", "replace"), "identity.yaml"))
    except ConfigurationError as problem:
        has_a_place(str(problem))


def json_config(data: bytes) -> None:
    with suppress(ConfigurationError):
        read_identity_config(parse_document(data.decode("utf-8", "replace"), "identity.json"))


def url(data: bytes) -> None:
    with suppress(go_url.URLError):
        written = str(go_url.parse(data.decode("utf-8", "replace")))
        written.encode()


def protojson(data: bytes) -> None:
    """The fast way and the slow way read alike."""
    for message in (_V1, _V2):
        try:
            plain = read_plain(data, message)
        except ValueError:
            plain = None
        try:
            values = decode(data, message)
        except MalformedRequest as refusal:
            tells_nothing(refusal, data)
            tells_little(refusal.public_message, LONG_MESSAGE if plain is None else 0)
            continue
        assert plain is None or plain == read(data, message) == values


def wire(data: bytes) -> None:
    for parse in (parse_v1, parse_v2):
        with suppress(MalformedRequest, KeyUnparsable):
            parse(data)


def sct(data: bytes) -> None:
    with suppress(SCTInvalid):
        promise = SCT.from_add_response(data)
        assert SCT.from_add_response(promise.add_chain_response()) == promise
        promise.encode()
    with suppress(EntryInvalid):
        assert 0 <= parse_leaf_index(data) < 1 << 40


def tile(data: bytes) -> None:
    """What is read is written again to the byte."""
    with suppress(EntryInvalid):
        entry, index, end = LogEntry.from_tile_leaf(data)
        assert entry.tile_leaf(index) == data[:end]
    with suppress(TilePathInvalid):
        path = parse_tile_path(data.decode("latin-1"))
        which = path.level if path.kind == "hash" else path.kind
        assert tile_path(which, path.index, path.width) == data.decode("latin-1")  # type: ignore[arg-type]


def checkpoint(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(CheckpointInvalid):
        assert parse_checkpoint(text).text() == text
    with suppress(CheckpointInvalid):
        proof = parse_tlog_proof(text)
        assert tlog_proof(proof.index, proof.proof, proof.signed.text(), proof.extra) == text
    with suppress(CheckpointInvalid):
        parse_verifier_key(text)


def submission(data: bytes) -> None:
    """A chain: DER after DER, a zero byte twice between them; then the one certificate under the root."""
    for chain in (data.split(b"\0\0\0\0"), [data]):
        for accept in (ROOTS.certificate, ROOTS.precertificate):
            with suppress(SubmissionInvalid):
                accept(chain)


def timestamp(data: bytes) -> None:
    for parse in (parse_der, parse_json):
        with suppress(TimestampRefused):
            assert parse(data).imprint


TARGETS = {
    "token": Target(token, seeds.tokens),
    "strict-json": Target(strict_json, seeds.json_texts),
    "jwks": Target(jwks, seeds.key_sets),
    "csr": Target(csr, seeds.csrs),
    "key": Target(key, seeds.keys),
    "template": Target(template, seeds.templates),
    "identity-config": Target(identity_config, seeds.identity_configs),
    "json-config": Target(json_config, seeds.json_configs),
    "url": Target(url, seeds.urls),
    "protojson": Target(protojson, seeds.bodies),
    "wire": Target(wire, seeds.bodies),
    "sct": Target(sct, seeds.promises),
    "tile": Target(tile, seeds.tiles),
    "checkpoint": Target(checkpoint, seeds.checkpoints),
    "submission": Target(submission, seeds.chains),
    "timestamp": Target(timestamp, seeds.timestamps),
}
