"""cosign signs without pause while the CA is rotated, to a new root: nothing fails, and all of it verifies after."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509

from tests.api.test_rotation import pass_time, until
from tests.e2e.instance import DAYFLY
from tests.e2e.processes import Child, free_port, run
from tests.e2e.signing import EMAIL
from tests.e2e.test_cosign import Cosign


@dataclass
class Instance:
    """Two workers with an embedded log and timestamps of their own, as `dayfly ca init` makes them."""

    directory: Path
    url: str

    @property
    def config(self) -> Path:
        return self.directory / "ca.yaml"

    def ca(self, *words: str | Path):
        return run([DAYFLY, "ca", words[0], "--config", self.config, *words[1:]])

    def fetch(self, name: str, path: Path) -> Path:
        path.write_text(httpx.get(f"{self.url}/api/v2/{name}", trust_env=False).text)
        return path


@pytest.fixture
def instance(tmp_path, provider) -> Iterator[Instance]:
    directory, port = tmp_path / "ca", free_port()
    made = run([DAYFLY, "ca", "init", "--out", directory])
    assert made.returncode == 0, made.stderr
    made = run([DAYFLY, "log", "init", "--data", directory, "--origin", "localhost/ctlog"])
    assert made.returncode == 0, made.stderr
    issuers = {provider.issuer: {"issuer-url": provider.issuer, "client-id": "sigstore", "type": "email"}}
    (directory / "identity.yaml").write_text(yaml.safe_dump({"oidc-issuers": issuers}))
    url = f"http://127.0.0.1:{port}"
    settings = yaml.safe_load((directory / "ca.yaml").read_text())
    settings |= {"listen": f"127.0.0.1:{port}", "workers": 2, "metrics": {"listen": "none"}, "trust": {"url": url}}
    (directory / "ca.yaml").write_text(yaml.safe_dump(settings))
    with Child.start("dayfly", [DAYFLY, "serve", "--config", directory / "ca.yaml"], tmp_path, cwd=tmp_path) as child:
        child.wait_for_http(f"{url}/readyz")
        yield Instance(directory, url)


@dataclass
class Release:
    """Blobs, signed one after the other, each with the trusted root that is published just then."""

    cosign: Cosign
    instance: Instance
    token: str
    bundles: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sign(self) -> None:
        name = f"blob-{len(self.bundles)}"
        blob, bundle = self.cosign.home / name, self.cosign.home / f"{name}.json"
        blob.write_text(name)
        root = self.instance.fetch("trustedRoot", self.cosign.home / "root.json")
        config = self.instance.fetch("signingConfig", self.cosign.home / "config.json")
        signed = self.cosign(
            *("sign-blob", "--yes", f"--identity-token={self.token}", f"--signing-config={config}"),
            *(f"--trusted-root={root}", f"--bundle={bundle}", blob),
        )
        if signed.returncode:
            self.problems.append(signed.stderr)
        self.bundles.append(bundle)

    def until(self, stop: threading.Event) -> None:
        while not stop.is_set() and not self.problems:
            self.sign()

    def wait_for(self, count: int) -> None:
        seen = len(self.bundles)
        until(lambda: len(self.bundles) >= seen + count or self.problems)


def issuer(bundle: Path) -> str:
    raw = json.loads(bundle.read_text())["verificationMaterial"]["certificate"]["rawBytes"]
    pem = f"-----BEGIN CERTIFICATE-----\n{raw}\n-----END CERTIFICATE-----\n"
    return x509.load_pem_x509_certificate(pem.encode()).issuer.rfc4514_string()


def verifies(cosign: Cosign, bundle: Path, root: Path, issuer: str):
    return cosign(
        *("verify-blob", f"--bundle={bundle}", f"--trusted-root={root}", f"--certificate-identity={EMAIL}"),
        *(f"--certificate-oidc-issuer={issuer}", "--insecure-ignore-tlog", "--use-signed-timestamps"),
        bundle.with_suffix(""),
    )


@pytest.mark.timeout(300)
def test_signatures_of_both_cas_verify_with_the_published_root(tools, tmp_path, instance, provider, token):
    (tmp_path / "home").mkdir()
    cosign = Cosign(tools, tmp_path / "home")
    release, stop = Release(cosign, instance, token), threading.Event()
    thread = threading.Thread(target=release.until, args=(stop,))
    thread.start()
    before = instance.fetch("trustedRoot", tmp_path / "before.json")
    try:
        release.wait_for(2)
        prepared = instance.ca("prepare", "--new-root", "--out", tmp_path / "new", "--common-name", "the next")
        assert prepared.returncode == 0, prepared.stderr
        published = "/api/v2/trustBundle"
        until(lambda: all(len(httpx.get(instance.url + published).json()["chains"]) == 2 for _ in range(8)))
        release.wait_for(3)
        activated = instance.ca("activate", "--after", "0s")
        assert activated.returncode == 0, activated.stderr
        release.wait_for(3)
        pass_time(instance.directory / "rotation")
        retired = instance.ca("retire")
        assert retired.returncode == 0, retired.stderr
        until(lambda: all(len(httpx.get(instance.url + published).json()["chains"]) == 1 for _ in range(8)))
        release.wait_for(1)
    finally:
        stop.set()
        thread.join()
    assert not release.problems

    after = instance.fetch("trustedRoot", tmp_path / "after.json")
    signers = [issuer(bundle) for bundle in release.bundles]
    assert set(signers) == {"CN=dayfly-intermediate,O=dayfly", "CN=the next,O=dayfly"}
    for bundle in release.bundles:
        verified = verifies(cosign, bundle, after, provider.issuer)
        assert verified.returncode == 0, verified.stderr
    # An end before a signature was made keeps it from verifying: a retired key is of no use later.
    document = json.loads(after.read_text())
    for authority in document["certificateAuthorities"]:
        authority["validFor"] = {"start": authority["validFor"]["start"], "end": authority["validFor"]["start"]}
    refused = verifies(cosign, release.bundles[0], cosign.write("ended.json", document), provider.issuer)
    assert refused.returncode != 0
    assert "failed to verify leaf certificate" in refused.stderr
    # Whoever kept the trusted root from before the rotation knows nothing of the new CA.
    refused = verifies(cosign, release.bundles[-1], before, provider.issuer)
    assert refused.returncode != 0
    assert "failed to verify leaf certificate" in refused.stderr
