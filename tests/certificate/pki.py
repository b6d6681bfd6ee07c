"""CAs, client keys and identities to issue with. CA certificates come from pyca/cryptography's builder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca.certificate.chain import Chain
from ca.certificate.profile import Profile, assemble, new_serial
from ca.identity.model import EmailName, Extension, Identity, URIName, UserName
from ca.proof.model import ProvenKey

NOW = datetime(2026, 11, 3, 12, 30, 15, 987654, tzinfo=UTC)
START = NOW.replace(microsecond=0)

HASHES = {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}
CA_KINDS = ["P-256", "P-384", "P-521", "RSA-2048", "Ed25519"]
CLIENT_KINDS = [*CA_KINDS, "RSA-3072"]

SCT = bytes.fromhex("00") + b"i" * 32 + (1_790_000_000_000).to_bytes(8, "big") + b"\0\0\4\3\0\x48" + b"s" * 72
SCT_LIST = b"\0\x79\0\x77" + SCT
"""One SCT, in form."""

ALGORITHMS = {
    "P-256": "300a06082a8648ce3d040302",
    "P-384": "300a06082a8648ce3d040303",
    "P-521": "300a06082a8648ce3d040304",
    "RSA-2048": "300d06092a864886f70d01010b0500",
    "Ed25519": "300506032b6570",
}

GITHUB = Identity(
    issuer="https://token.actions.githubusercontent.com",
    subject="repo:octo-org/octo-repo:ref:refs/heads/main",
    subject_alt_name=URIName("https://github.com/octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main"),
    challenge="repo:octo-org/octo-repo:ref:refs/heads/main",
    extensions={
        number: f"https://github.com/octo-org/{number.config_key}"
        for number in Extension
        if number not in {Extension.ISSUER, Extension.ISSUER_V2, Extension.TOKEN_SUBJECT}
    },
)
EMAIL = Identity(
    issuer="https://accounts.example.com",
    subject="1234567890",
    subject_alt_name=EmailName("ada@example.com"),
    challenge="ada@example.com",
)
USER = Identity(
    issuer="https://users.example.com",
    subject="ada",
    subject_alt_name=UserName("ada!users.example.com"),
    challenge="ada",
)


@cache
def private_key(kind: str, number: int = 0):
    """The same key for the same arguments, within one run."""
    match kind:
        case "P-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))


def proven(key) -> ProvenKey:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ProvenKey(key.public_key(), spki, "any")


def tlv(der: bytes) -> asn1.TLV:
    """DER to put into one of `structures` as it is."""
    return asn1.decode_der(asn1.TLV, der)


def hash_of(key):
    match key:
        case ec.EllipticCurvePrivateKey():
            return HASHES[key.curve.name]
        case rsa.RSAPrivateKey():
            return SHA256()
    return None


def sign(key, message: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(HASHES[key.curve.name]))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), SHA256())
    return key.sign(message)


@dataclass(frozen=True)
class CA:
    chain: Chain
    key: object
    algorithm: bytes

    def signed(self, tbs: bytes) -> bytes:
        return assemble(tbs, self.algorithm, sign(self.key, tbs))


def key_usage(**given: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**dict.fromkeys(names, False) | given)


def ca_builder(key, name: str, issuer: str | None = None, **replace) -> x509.CertificateBuilder:
    """A CA certificate as it should be, but for what is replaced; None leaves an extension out."""
    extensions = {
        "basic_constraints": (x509.BasicConstraints(ca=True, path_length=None), True),
        "key_usage": (key_usage(key_cert_sign=True, crl_sign=True), True),
        "extended_key_usage": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False) if issuer else None,
        "ski": (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    }
    start = replace.pop("start", START - timedelta(days=30))
    end = replace.pop("end", START + timedelta(days=300))
    subject = replace.pop("subject", common_name(name))
    extensions |= replace
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(common_name(issuer) if issuer else subject)
        .public_key(key.public_key())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension in extensions.values():
        if extension:
            value, critical = extension
            builder = builder.add_extension(value, critical=critical)
    return builder


def common_name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Dayfly tests"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def make_ca(kind: str = "P-256", **replace) -> CA:
    """An issuing certificate of this kind of key, under a P-384 root; `replace` is for the issuing one."""
    root_key, key = private_key("P-384", 99), private_key(kind, 98)
    root = ca_builder(root_key, "root").sign(root_key, SHA384())
    issuing = ca_builder(key, "issuing", "root", **replace).sign(root_key, SHA384())
    return CA(Chain.of([issuing, root]), key, bytes.fromhex(ALGORITHMS[kind]))


@dataclass(frozen=True)
class Issued:
    """A certificate with everything that it was made of."""

    ca: CA
    asked: dict
    final: bytes
    precertificate: bytes | None
    tbs: bytes


def issue(
    ca: CA,
    identity: Identity = EMAIL,
    kind: str = "P-256",
    *,
    now: datetime = NOW,
    sct_list: bytes | None = SCT_LIST,
    serial: int | None = None,
) -> Issued:
    key, serial, profile = proven(private_key(kind)), serial or new_serial(), Profile()
    draft = profile.draft(identity, key, ca.chain, ca.algorithm, serial, now)
    tbs = draft.certificate_tbs(sct_list)
    precertificate = ca.signed(draft.precertificate_tbs()) if sct_list is not None else None
    asked = {
        "identity": identity,
        "key": key,
        "chain": ca.chain,
        "serial": serial,
        "not_before": now,
        "lifetime": profile.lifetime,
        "precertificate": precertificate,
        "sct_list": sct_list,
    }
    return Issued(ca, asked, ca.signed(tbs), precertificate, tbs)
