"""The issuance cycle: a token and a key in, a certificate out. Read `CertificateAuthority.issue` first."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from ca.certificate import lint
from ca.certificate.profile import assemble, new_serial
from ca.ct.model import Precertificate
from ca.ct.rfc6962 import sct_list
from ca.errors import CallerError, ClientLeft, IssuerUnavailable, KeyBlocked, KeyUnparsable, TokenMissing
from ca.limits.model import TokenUse
from ca.oidc.model import UNGUARDED
from ca.proof import prove

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from ca.certificate.chain import Chain
    from ca.certificate.profile import Profile
    from ca.ct.model import Log
    from ca.ct.rfc6962 import SCT
    from ca.identity.model import Identity
    from ca.keys.model import CAKeys
    from ca.limits.limiter import Limits
    from ca.oidc.model import VerifiedToken
    from ca.oidc.verifier import TokenVerifier
    from ca.proof.model import KeyMaterial, ProvenKey
    from ca.proof.policy import KeyPolicy

LONG_WAIT = 0.05
"""Seconds of waiting for a log from which on clients may have left; asking costs too much for every request."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What a client asks, read off the wire and not yet believed."""

    unverified_token: str | None = field(repr=False)
    key_material: KeyMaterial | None = field(repr=False)
    client: str = ""
    """The address that it comes from; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that has passed every step."""

    certificate: bytes
    """DER."""
    chain: Chain
    """The issuing certificate to the root."""
    sct: SCT | None
    """The one embedded in the certificate; None where CT is switched off."""


@dataclass(slots=True)
class Progress:
    """What is known of a request so far, for its log record and metrics; a refusal leaves it where it stopped."""

    token: VerifiedToken | None = None
    identity: Identity | None = None
    serial: int | None = None
    sct: SCT | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Time by step (`telemetry.STEPS`)."""
    _started: float = field(default_factory=perf_counter)
    _last: float = 0.0

    def done(self, step: str) -> None:
        now = perf_counter()
        self.seconds[step] = now - (self._last or self._started)
        self._last = now

    def elapsed(self) -> float:
        """Seconds so far, those of a step that did not end included."""
        return perf_counter() - self._started


class CertificateAuthority:
    """Issues certificates. Stateless: any number of these may share a CA key and a log."""

    def __init__(
        self,
        *,
        limits: Limits,
        tokens: TokenVerifier,
        key_policy: KeyPolicy,
        profile: Profile,
        keys: CAKeys,
        log: Log | None,
    ) -> None:
        """`log` is None only where the operator has switched CT off in so many words."""
        self._limits = limits
        self._tokens = tokens
        self._key_policy = key_policy
        self._profile = profile
        self._keys = keys
        self._log = log

    async def issue(
        self,
        request: SigningRequest,
        now: datetime,
        progress: Progress,
        client_left: Callable[[], Awaitable[bool]] | None = None,
    ) -> Issued:
        """One certificate for `request`, or an error of `ca.errors` and no certificate.

        `client_left` says whether anybody waits for the answer; it is asked where a log took its time.
        The steps carry the numbers of the issuance cycle in docs/architecture.md.
        """
        # 2. Who is over a limit is refused before any cryptography. Who gets as far as step 7 is counted there, and
        # who is refused before that, here.
        self._limits.admit(request.client)
        try:
            return await self._issue(request, now, progress, client_left)
        except (CallerError, IssuerUnavailable) as refusal:  # whose issuers a pattern's tokens may make up
            if "limits" not in progress.seconds:
                await self._limits.count_refused(request.client, refusal)
            raise

    async def _issue(
        self,
        request: SigningRequest,
        now: datetime,
        progress: Progress,
        client_left: Callable[[], Awaitable[bool]] | None,
    ) -> Issued:
        # 3. The token: who vouches for whom.
        if not request.unverified_token:
            raise TokenMissing(
                "the request has none; send it in credentials.oidcIdentityToken or as `Authorization: Bearer`"
            )
        progress.token = token = await self._tokens.verify(request.unverified_token, now)
        progress.done("token")

        # 4. Claims to identity: whom the certificate will name.
        progress.identity = identity = token.trusted.identity_type.identify(token.issuer, token.claims)
        progress.done("identity")

        # 5. The key, and that the client holds it.
        if request.key_material is None:
            raise KeyUnparsable("the request has neither a public key nor a certificate signing request")
        key = prove(request.key_material, identity.challenge, self._key_policy)
        progress.done("proof")

        # 7. The request is counted and its token bound to this key, at once. Not earlier: nobody uses up what belongs
        # to an issuer whose token they do not have. What fails from here on stays counted, and may be tried again
        # with the same key.
        await self._limits.settle(
            request.client, token.issuer, token.trusted.url, identity.subject, _token_use(token, key, now)
        )
        progress.done("limits")

        # 8. The TBS, once. From here on one CA key, one serial and one `now`, whatever is reloaded meanwhile.
        ca_key = self._keys.current(now)
        signing, chain = ca_key.signing_key, ca_key.chain
        if key.spki in chain.spkis:
            raise KeyBlocked("it is a key of this CA; make one of your own")
        progress.serial = serial = new_serial()
        draft = self._profile.draft(identity, key, chain, signing.signature_algorithm, serial, now)
        progress.done("draft")

        precertificate: bytes | None = None
        scts: bytes | None = None
        if self._log is not None:
            # 9. Sign the precertificate. From here on the CA has promised to issue (RFC 6962 §3.1).
            tbs = draft.precertificate_tbs()
            precertificate = assemble(tbs, signing.signature_algorithm, await signing.sign(tbs))
            progress.done("precertificate")

            # 10. Log it. The SCT comes back verified; without one there is no final signature.
            progress.sct = await self._log.add_pre_chain(
                Precertificate(precertificate, draft.clean_tbs, chain.issuer_key_hash, chain.ders, draft.not_after), now
            )
            scts = sct_list([progress.sct])
            progress.done("log")

            # Who has left gets no final signature: the serial is spent on the precertificate alone.
            if client_left and progress.seconds["log"] > LONG_WAIT and await client_left():
                raise ClientLeft("before the log answered")

        # 11. The same TBS with the SCT list in the poison's place.
        tbs = draft.certificate_tbs(scts)
        certificate = assemble(tbs, signing.signature_algorithm, await signing.sign(tbs))
        progress.done("certificate")

        # 12. Read back what was written and compare it with what was asked. Nothing leaves that differs.
        lint.check(
            certificate,
            identity=identity,
            key=key,
            chain=chain,
            serial=serial,
            not_before=now,
            lifetime=self._profile.lifetime,
            precertificate=precertificate,
            sct_list=scts,
        )
        progress.done("lint")

        return Issued(certificate, chain, progress.sct)


def _token_use(token: VerifiedToken, key: ProvenKey, now: datetime) -> TokenUse | None:
    if token.trusted.token_guard == UNGUARDED:
        return None
    return TokenUse.of(
        token.issuer, token.signing_input, key.spki, token.trusted.token_guard, expires=token.expires, now=now
    )
