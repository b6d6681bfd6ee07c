"""sigstore-python gets a certificate with its own client, and accepts the certificate's SCT."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sigstore._internal.fulcio import FulcioClient
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import KeyringPurpose
from sigstore.errors import VerificationError
from sigstore.models import TrustedRoot
from sigstore.oidc import IdentityToken

from tests.e2e import trust
from tests.e2e.signing import EMAIL


@pytest.fixture(scope="module")
def response(instance, token):
    key = ec.generate_private_key(ec.SECP256R1())
    # As `sigstore.sign.Signer` builds it.
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return FulcioClient(instance.url).signing_cert.post(request, IdentityToken(token))


def keyring(trusted_root: dict[str, object], path):
    path.write_text(json.dumps(trusted_root))
    return TrustedRoot.from_file(str(path)).ct_keyring(KeyringPurpose.SIGN)


def test_certificate_names_who_asked(response):
    names = response.cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.RFC822Name) == [EMAIL]


def test_chain_ends_in_the_root(response, ca):
    assert response.chain == ca.certificates


def test_sct_is_accepted(response, trusted_root, tmp_path):
    verify_sct(response.cert, response.chain, keyring(trusted_root, tmp_path / "root.json"))


def test_sct_is_refused_by_a_keyring_without_the_log(response, trusted_root, tmp_path):
    other = keyring(trust.with_another_log(trusted_root), tmp_path / "root.json")
    with pytest.raises(VerificationError):
        verify_sct(response.cert, response.chain, other)


def test_trust_bundle_is_the_chain(instance, ca):
    assert FulcioClient(instance.url).trust_bundle.get().trust_bundle == [ca.certificates]
