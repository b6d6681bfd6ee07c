"""What the log's endpoints take: a chain, as anybody sends it, becomes what the log may be asked to sequence.

RFC 6962 §3.1 leaves it to a log which roots it accepts and what it asks of a chain beyond that. Dates are not asked
for: a certificate that has expired was issued all the same, and the log is the record of that. Pure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca.certificate.chain import Chain, ChainInvalid
from ca.certificate.structures import Certificate, TBSCertificate, encode
from ca.ct.model import MAX_CERTIFICATE, MAX_CHAIN, Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_POISON: Final = bytes.fromhex("3013 060a2b06010401d679020403 0101ff 0402 0500")
"""The Extension in DER. RFC 6962 §3.1: critical, and an ASN.1 NULL."""
_MAX_PATHS: Final = 64


class SubmissionInvalid(Exception):
    """What is wrong with a submitted chain, in words for whoever sent it."""


class SubmissionTooLarge(SubmissionInvalid):
    """It may be right, but it is more than this log stores."""


class AcceptedRoots:
    """The roots under which the log takes certificates. The paths that it has verified, it remembers."""

    def __init__(self, roots: Sequence[x509.Certificate]) -> None:
        """Raises ChainInvalid for a certificate that is no root, and where there is none."""
        if not roots:
            raise ChainInvalid("there is no root; expected the self-signed certificate of each CA that may log here")
        self._roots = tuple(Chain.of([root]) for root in dict.fromkeys(roots))
        for root in self._roots:
            root.check(root.not_before)
        self.ders: tuple[bytes, ...] = tuple(root.ders[0] for root in self._roots)
        """What `get-roots` lists."""
        self._paths: dict[tuple[bytes, ...], Chain] = {}

    @classmethod
    def parse(cls, pem: bytes) -> AcceptedRoots:
        """The roots of a PEM bundle, in which whole chains may stand. Raises ChainInvalid."""
        certificates = Chain.parse(pem).certificates
        return cls([certificate for certificate in certificates if certificate.subject == certificate.issuer])

    def certificate(self, unverified_chain: Sequence[bytes]) -> Submission:
        """The first certificate of a chain sent to `add-chain`, RFC 6962 §4.1. DER, each one's issuer next.

        The root may be left out. Raises SubmissionInvalid.
        """
        certificate, tbs, path = self._verified(unverified_chain)
        if any(extension.oid == ExtensionOID.PRECERT_POISON for extension in tbs.extensions):
            raise SubmissionInvalid("the first certificate has the poison extension: submit it to add-pre-chain")
        der = certificate.public_bytes(Encoding.DER)
        return Submission(is_precert=False, certificate=der, issuer_key_hash=b"", precertificate=b"", chain=path.ders)

    def precertificate(self, unverified_chain: Sequence[bytes]) -> Submission:
        """The first certificate of a chain sent to `add-pre-chain`, RFC 6962 §4.2; as `certificate`.

        Raises SubmissionInvalid.
        """
        certificate, tbs, path = self._verified(unverified_chain)
        return Submission(
            is_precert=True,
            certificate=_clean(tbs),
            issuer_key_hash=path.issuer_key_hash,
            precertificate=certificate.public_bytes(Encoding.DER),
            chain=path.ders,
        )

    def _verified(self, unverified_chain: Sequence[bytes]) -> tuple[x509.Certificate, TBSCertificate, Chain]:
        """The first certificate, its contents and the path above it, up to a root of ours."""
        # 1. No more than the log stores.
        _check_sizes(unverified_chain)

        # 2. The first certificate is DER, all of it: what is hashed must have one reading.
        first, *above = unverified_chain
        tbs = _decode(first)
        certificate = _parse(first, 1)

        # 3. Every other one is a CA that the next one certified, and the last is a root or certified by one.
        #    Then the first one's signature.
        path = self._issued_by(certificate, tuple(above))

        # 4. It is for code signing.
        _check_usage(certificate)
        return certificate, tbs, path

    def _issued_by(self, certificate: x509.Certificate, above: tuple[bytes, ...]) -> Chain:
        candidates = [self._path(above)] if above else self._roots
        for path in candidates:
            if _is_issued_by(certificate, path.certificates[0]):
                return path
        raise SubmissionInvalid(
            f'the first certificate is not signed by the next one; it names "{certificate.issuer.rfc4514_string()}" as '
            "its issuer: send the certificate, then each one's issuer"
            if above
            else "the first certificate is not issued by a root of this log: send the chain above it too, its issuer "
            "first"
        )

    def _path(self, above: tuple[bytes, ...]) -> Chain:
        path = self._paths.get(above)
        if path is None:
            path = self._verify_path(above)
            if len(self._paths) >= _MAX_PATHS:
                self._paths.clear()
            self._paths[above] = path
        return path

    def _verify_path(self, above: tuple[bytes, ...]) -> Chain:
        certificates = [_parse(der, place) for place, der in enumerate(above, 2)]
        top = certificates[-1]
        problem: ChainInvalid | None = None
        for root in self._roots:
            end = [] if above[-1] == root.ders[0] else [root.certificates[0]]
            if end and top.issuer != root.certificates[0].subject:
                continue
            try:
                path = Chain.of([*certificates, *end])
                path.check(path.not_before)  # all that does not change with time
            except ChainInvalid as invalid:
                problem = invalid
                continue
            _check_issuing(path.certificates[0])
            return path
        if problem:
            raise SubmissionInvalid(f"the chain is no path to a root of this log: {problem}") from problem
        raise SubmissionInvalid(
            f'the chain ends at "{top.subject.rfc4514_string()}", which no root of this log has issued; get-roots '
            "lists them, and the chain goes from the certificate up"
        )


class FollowedRoots:
    """`AcceptedRoots` of chains that come and go."""

    def __init__(self, chains: Callable[[], Sequence[Chain]]) -> None:
        self._chains = chains
        self._ders: tuple[bytes, ...] = ()
        self._roots: AcceptedRoots | None = None

    def __call__(self) -> AcceptedRoots:
        """Those of the chains as they are now. Raises ChainInvalid as `AcceptedRoots` does."""
        chains = self._chains()
        ders = tuple(chain.ders[-1] for chain in chains)
        if self._roots is None or ders != self._ders:
            self._roots, self._ders = AcceptedRoots([chain.certificates[-1] for chain in chains]), ders
        return self._roots


def _check_sizes(unverified_chain: Sequence[bytes]) -> None:
    if not unverified_chain:
        raise SubmissionInvalid("the chain is empty; expected the certificate, then each one's issuer")
    # One place is kept for a root that was left out.
    if len(unverified_chain) > MAX_CHAIN:
        raise SubmissionTooLarge(f"the chain has {len(unverified_chain)} certificates; expected {MAX_CHAIN} at most")
    if len(set(unverified_chain)) < len(unverified_chain):
        raise SubmissionInvalid("the chain has a certificate twice; expected the certificate, then each one's issuer")
    longest = max(map(len, unverified_chain))
    if longest > MAX_CERTIFICATE:
        raise SubmissionTooLarge(f"a certificate has {longest} bytes; expected {MAX_CERTIFICATE} at most")


def _decode(der: bytes) -> TBSCertificate:
    """The contents of a certificate. Decoding refuses all that is not DER, so encoding gives the same bytes again."""
    try:
        certificate = asn1.decode_der(Certificate, der)
        tbs = asn1.decode_der(TBSCertificate, encode(certificate.tbs_certificate))
    except ValueError as problem:
        raise SubmissionInvalid(f"the first certificate is not version 3 in DER: {problem}") from problem
    if tbs.version != x509.Version.v3.value:
        raise SubmissionInvalid(
            f"the first certificate has version {tbs.version + 1}; expected 3, which has extensions"
        )
    if tbs.serial_number <= 0:
        raise SubmissionInvalid("the first certificate's serial number is not positive (RFC 5280, 4.1.2.2)")
    return tbs


def _parse(der: bytes, place: int) -> x509.Certificate:
    """A certificate of which everything that is looked at later can be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, certificate.extensions
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension) as problem:
        raise SubmissionInvalid(f"certificate {place} of the chain cannot be read: {problem}") from problem
    return certificate


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_issuing(issuing: x509.Certificate) -> None:
    """A log may refuse Precertificate Signing Certificates (static-ct-api): their entries name another issuer."""
    if ExtendedKeyUsageOID.CERTIFICATE_TRANSPARENCY in _usages(issuing):
        raise SubmissionInvalid(
            "the issuer is a Precertificate Signing Certificate, which this log does not take; sign the "
            "precertificate with the key that signs the certificate"
        )


def _check_usage(certificate: x509.Certificate) -> None:
    if ExtendedKeyUsageOID.CODE_SIGNING not in _usages(certificate):
        raise SubmissionInvalid(
            "the first certificate lacks the extended key usage code signing, which this log is for"
        )


def _usages(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return frozenset()


def _clean(tbs: TBSCertificate) -> bytes:
    """DER without the one poison extension, every other byte as it was: `tbs` came from DER (RFC 6962 §3.2)."""
    poisons = [extension for extension in tbs.extensions if extension.oid == ExtensionOID.PRECERT_POISON]
    if not poisons:
        raise SubmissionInvalid(
            "the first certificate is no precertificate, it lacks the poison: submit it to add-chain"
        )
    if [encode(poison) for poison in poisons] != [_POISON]:
        raise SubmissionInvalid("the poison extension is not critical with the value NULL (RFC 6962, 3.1)")
    if any(extension.oid == ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS for extension in tbs.extensions):
        raise SubmissionInvalid("the precertificate has an SCT list, which only the final certificate has")
    kept = [extension for extension in tbs.extensions if extension.oid != ExtensionOID.PRECERT_POISON]
    return encode(dataclasses.replace(tbs, extensions=kept))
