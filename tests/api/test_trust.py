from __future__ import annotations

from cryptography import x509

from tests.api.server import CA


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
