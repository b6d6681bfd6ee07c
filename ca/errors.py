"""Every refusal and failure, in one tree by who must act.

A leaf is one cause. It carries a stable `reason` (`google.rpc.ErrorInfo.reason`), the gRPC `code` that Fulcio
uses for it, and the `summary` with which Fulcio's message starts; `detail` is what was wrong in words. Summary,
detail and metadata are public: they never hold a token, a proof or a key. The private cause is chained with
`from` and goes to the log alone.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """The gRPC status codes in use (https://grpc.io/docs/guides/status-codes/)."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class DayflyError(Exception):
    """Root of the tree; only leaves are raised."""

    reason: ClassVar[str]
    code: ClassVar[Code]
    summary: ClassVar[str]

    def __init__(self, detail: str = "", *, retry_after: int | None = None, **metadata: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        """Seconds after which trying again makes sense; None where it does not."""
        self.metadata = metadata

    @property
    def public_message(self) -> str:
        """One line: Fulcio's message, then what was wrong."""
        return ": ".join(part for part in (self.summary, self.detail) if part)

    def __str__(self) -> str:
        return self.public_message


# ---- the caller must act -----------------------------------------------------------------------------------


class CallerError(DayflyError):
    """The request is at fault; sent again it fails again."""

    code = Code.INVALID_ARGUMENT


class MalformedRequest(CallerError):
    """The body is not the message it should be. The detail is the whole message, as grpc-gateway's is."""

    reason = "MALFORMED_REQUEST"
    summary = ""


class MethodUnknown(CallerError):
    """A gRPC service or method that is not here. The detail is the whole message, as that of Go's servers."""

    reason = "METHOD_UNKNOWN"
    code = Code.UNIMPLEMENTED
    summary = ""


class ServiceUnknown(CallerError):
    """A gRPC health check of a service that is not here (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

    reason = "SERVICE_UNKNOWN"
    code = Code.NOT_FOUND
    summary = "unknown service"


class InvalidToken(CallerError):
    """The identity token does not prove an identity. Fulcio answers 400, never 401."""

    summary = "There was an error processing the identity token"


class TokenMissing(InvalidToken):
    reason = "TOKEN_MISSING"


class TokenMalformed(InvalidToken):
    reason = "TOKEN_MALFORMED"


class IssuerNotTrusted(InvalidToken):
    reason = "ISSUER_NOT_TRUSTED"


class IssuerDisabled(InvalidToken):
    """The operator has switched the issuer off: `enabled: false`. Metadata: `issuer`, as it is configured."""

    reason = "ISSUER_DISABLED"


class TokenAlgorithmRefused(InvalidToken):
    reason = "TOKEN_ALGORITHM_REFUSED"


class TokenKeyUnknown(InvalidToken):
    reason = "TOKEN_KEY_UNKNOWN"


class TokenSignatureInvalid(InvalidToken):
    reason = "TOKEN_SIGNATURE_INVALID"


class AudienceMismatch(InvalidToken):
    reason = "TOKEN_AUDIENCE_MISMATCH"


class TokenExpired(InvalidToken):
    reason = "TOKEN_EXPIRED"


class TokenNotYetValid(InvalidToken):
    reason = "TOKEN_NOT_YET_VALID"


class ClaimMissing(InvalidToken):
    """Metadata: `claim`."""

    reason = "CLAIM_MISSING"


class ClaimInvalid(InvalidToken):
    """A claim has the wrong type or a value that this issuer type refuses. Metadata: `claim`."""

    reason = "CLAIM_INVALID"


class IdentityNotCertifiable(CallerError):
    """The claims are true but give no name a certificate can carry; Fulcio answers these without a summary."""

    reason = "IDENTITY_NOT_CERTIFIABLE"
    summary = ""


class KeyUnparsable(CallerError):
    reason = "KEY_UNPARSABLE"
    summary = "The public key supplied in the request could not be parsed"


class CSRUnparsable(CallerError):
    reason = "CSR_UNPARSABLE"
    summary = "The certificate signing request could not be parsed"


class KeyRejected(CallerError):
    summary = "The public key supplied in the request is insecure"


class KeyWeak(KeyRejected):
    reason = "KEY_WEAK"


class KeyBlocked(KeyRejected):
    reason = "KEY_BLOCKED"


class AlgorithmNotPermitted(CallerError):
    """The detail continues the summary as in Fulcio: `*ecdsa.PublicKey, SHA-256`, then what is permitted."""

    reason = "ALGORITHM_NOT_PERMITTED"
    summary = "signing algorithm not permitted"


class AlgorithmUnknown(CallerError):
    """The CSR's signature algorithm is none of those a client may use at all."""

    reason = "ALGORITHM_UNKNOWN"
    summary = "unrecognized signature algorithm"


class TimestampRefused(CallerError):
    """A timestamp query is at fault; the message begins as that of sigstore's timestamp authority."""

    reason = "TIMESTAMP_REFUSED"
    summary = "Error generating timestamp response"


class ProofFailed(CallerError):
    reason = "PROOF_FAILED"
    summary = "The signature supplied in the request could not be verified"


class ClientLeft(CallerError):
    """The client closed the connection before its certificate was signed. Nobody reads this; records and metrics do."""

    reason = "CLIENT_LEFT"
    code = Code.CANCELLED
    summary = "the client has left"


class TokenReplayed(CallerError):
    """The token has brought a certificate for another key already, or is spent."""

    reason = "TOKEN_REPLAYED"
    summary = "There was an error processing the identity token"


# ---- the caller later ---------------------------------------------------------------------------------------


class TryLater(DayflyError):
    """Something that issuance needs does not answer. HTTP 503 with `Retry-After`."""

    code = Code.UNAVAILABLE


class IssuerUnavailable(TryLater):
    """Discovery or JWKS of a trusted issuer could not be fetched. Metadata: `issuer`."""

    reason = "ISSUER_UNAVAILABLE"
    summary = "There was an error processing the identity token"


class LogUnavailable(TryLater):
    reason = "LOG_UNAVAILABLE"
    summary = "Error entering certificate in CTL"


class SignerUnavailable(TryLater):
    """The CA key cannot sign, or its chain is not valid now."""

    reason = "SIGNER_UNAVAILABLE"
    summary = "error communicating with CA backend"


class TokenGuardUnavailable(TryLater):
    """What remembers used tokens does not answer, so nobody knows whether this one may be used."""

    reason = "TOKEN_GUARD_UNAVAILABLE"
    summary = "There was an error processing the identity token"


class RateLimited(TryLater):
    """Somebody has had what a limit permits. HTTP 429. Metadata: `limit`."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"
    summary = "rate limit exceeded"

    def __init__(self, detail: str, *, limit: str, quota: int, window: int, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after, limit=limit)
        self.limit = limit
        self.quota = quota
        """Requests that the limit permits at once."""
        self.window = window
        """Seconds in which a used-up quota is whole again."""


# ---- the operator -------------------------------------------------------------------------------------------


class OperatorError(DayflyError):
    """Somebody has to change the configuration or a system beside us."""

    code = Code.INTERNAL


class ConfigurationError(OperatorError):
    """Stops the start. The detail begins with the place: `file:line: …`. Never sent to a client."""

    reason = "CONFIGURATION"
    summary = ""


class LogRefused(OperatorError):
    """The log answered that it will never take this precertificate, such as a CA missing from its roots."""

    reason = "LOG_REFUSED"
    summary = "Error entering certificate in CTL"


class LogFrozen(OperatorError):
    """The log has signed its last tree head. Its own `add-chain` and `add-pre-chain` answer 410."""

    reason = "LOG_FROZEN"
    summary = "Error entering certificate in CTL"


class SCTInvalid(OperatorError):
    """The log's answer is not a promise that we can verify, so nothing is issued on it."""

    reason = "SCT_INVALID"
    summary = "Error entering certificate in CTL"


# ---- us -----------------------------------------------------------------------------------------------------


class OurFault(DayflyError):
    code = Code.INTERNAL


class Misissuance(OurFault):
    """We signed, or nearly signed, something else than was asked. The detail stays in the log and the alarm."""

    reason = "MISISSUANCE"
    summary = "Error marshaling code signing certificate"

    @property
    def public_message(self) -> str:
        return self.summary

    def __str__(self) -> str:
        return f"{self.summary}: {self.detail}"


class InternalError(OurFault):
    reason = "INTERNAL"
    summary = "internal error"
