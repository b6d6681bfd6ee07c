from __future__ import annotations

import base64
from pathlib import Path

from cryptography import x509
from sigstore_models.trustroot.v1 import SigningConfig, TrustedRoot

from tests.api.server import CA, leaf, running_ca


def test_the_trust_bundle_holds_the_chain_with_newlines_kept(ca: CA) -> None:
    answer = ca.client.get("/api/v2/trustBundle")
    assert answer.headers["content-type"] == "application/json"
    (chain,) = answer.json()["chains"]
    assert list(chain) == ["certificates"]
    assert "".join(chain["certificates"]) == (ca.directory / "ca/chain.pem").read_text()
    intermediate, root = (x509.load_pem_x509_certificate(text.encode()) for text in chain["certificates"])
    intermediate.verify_directly_issued_by(root)


def test_v1_root_cert_has_a_blank_line_between_certificates(ca: CA) -> None:
    answer = ca.client.get("/api/v1/rootCert")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/pem-certificate-chain")
    bundle = ca.client.get("/api/v2/trustBundle").json()["chains"][0]["certificates"]
    assert answer.text == "\n".join(bundle).strip()
    assert answer.text.count("\n\n") == 1


def test_the_configuration_lists_the_issuers_in_fulcio_s_form(ca: CA) -> None:
    issuers = ca.client.get("/api/v2/configuration").json()["issuers"]
    assert issuers[0] == {
        "issuerUrl": ca.issuer("email"),
        "audience": "sigstore",
        "challengeClaim": "email",
        "spiffeTrustDomain": "",
        "issuerType": "email",
        "subjectDomain": "",
        "skipEmailVerification": False,
    }
    by_type = {issuer["issuerType"]: issuer for issuer in issuers}
    assert by_type["username"]["subjectDomain"] == "127.0.0.1"
    assert by_type["ci-provider"]["challengeClaim"] == "sub"


def test_the_trusted_root_ends_as_the_answers_chain_does_byte_for_byte(ca: CA) -> None:
    (authority,) = ca.client.get("/api/v2/trustedRoot").json()["certificateAuthorities"]
    trusted = [base64.b64decode(certificate["rawBytes"]) for certificate in authority["certChain"]["certificates"]]
    issued = ca.ask().json()["signedCertificateDetachedSct"]["chain"]["certificates"]
    assert trusted == [base64.b64decode("".join(text.splitlines()[1:-1])) for text in issued[1:]]


def test_the_trusted_root_s_period_begins_before_any_certificate_s(ca: CA) -> None:
    (authority,) = ca.client.get("/api/v2/trustedRoot").json()["certificateAuthorities"]
    assert authority["validFor"]["start"] <= f"{leaf(ca.ask()).not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert "end" not in authority["validFor"]


def test_a_ca_without_a_log_names_none(ca: CA) -> None:
    assert ca.client.get("/api/v2/trustedRoot").json()["ctlogs"] == []


def test_sigstores_models_read_both_documents(ca: CA) -> None:
    TrustedRoot.from_json(ca.client.get("/api/v2/trustedRoot").text)
    config = SigningConfig.from_json(ca.client.get("/api/v2/signingConfig").text)
    assert config.ca_urls[0].url == str(ca.client.base_url)


def test_a_ca_that_does_not_know_its_url_has_no_signing_config_and_says_what_to_do(tmp_path: Path) -> None:
    with running_ca(tmp_path, named=False) as nameless:
        answer = nameless.client.get("/api/v2/signingConfig")
        assert answer.status_code == 404
        assert "trust.url" in answer.json()["message"]
        assert nameless.client.get("/api/v2/trustedRoot").status_code == 200
