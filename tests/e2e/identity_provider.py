"""An OpenID-certified provider, and logging in there as a browser would."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from tests.e2e.processes import Child, Tools, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIRECT = "http://127.0.0.1/auth/callback"


@dataclass(frozen=True)
class IdentityProvider:
    issuer: str

    def token(self, email: str) -> str:
        """An id token for `email`, by the authorization code flow with PKCE (RFC 7636)."""
        verifier = secrets.token_urlsafe(48)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        with httpx.Client(trust_env=False, timeout=10) as browser:
            metadata = browser.get(f"{self.issuer}/.well-known/openid-configuration").json()
            state = secrets.token_urlsafe()
            parameters = {
                "client_id": "sigstore",
                "response_type": "code",
                "scope": "openid email",
                "redirect_uri": REDIRECT,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "state": state,
                "nonce": secrets.token_urlsafe(),
            }
            page = browser.get(metadata["authorization_endpoint"], params=parameters)
            answer = parse_qs(urlsplit(walk(browser, page, email)).query)
            assert answer["state"] == [state]
            exchange = {
                "grant_type": "authorization_code",
                "client_id": "sigstore",
                "code": answer["code"][0],
                "code_verifier": verifier,
                "redirect_uri": REDIRECT,
            }
            tokens = browser.post(metadata["token_endpoint"], data=exchange).raise_for_status().json()
            return tokens["id_token"]

    def approve(self, verification: str, email: str) -> str:
        """Open a device's verification URI (RFC 8628 §3.3.1) and let it sign in as `email`; the last page."""
        with httpx.Client(trust_env=False, timeout=10) as browser:
            page = browser.get(verification)
            while page.is_redirect or "<form" in page.text:
                if page.is_redirect:
                    page = browser.get(urljoin(str(page.url), page.headers["location"]))
                else:
                    page = submit(browser, page, email)
            return page.text


def walk(browser: httpx.Client, page: httpx.Response, email: str) -> str:
    """Follow redirects and submit the provider's login and consent forms; the redirect that leaves the provider."""
    origin = urlsplit(str(page.url)).netloc
    for _ in range(12):
        if page.is_redirect:
            target = urljoin(str(page.url), page.headers["location"])
            if urlsplit(target).netloc != origin:
                return target
            page = browser.get(target)
            continue
        assert page.status_code == 200, page.text
        page = submit(browser, page, email)
    raise AssertionError(f"the login does not end: {page.url}")


def submit(browser: httpx.Client, page: httpx.Response, email: str) -> httpx.Response:
    """Send the page's form with `email` where it asks for a login."""
    form = re.search(r"<form[^>]*action=\"([^\"]+)\"[^>]*>(.*?)</form>", page.text, re.DOTALL)
    assert form, page.text
    fields = dict(re.findall(r"<input[^>]*name=\"([^\"]+)\"[^>]*value=\"([^\"]*)\"", form[2]))
    if 'name="login"' in form[2]:
        fields |= {"login": email, "password": "any"}
    return browser.post(urljoin(str(page.url), form[1]), data=fields)


@contextmanager
def identity_provider(tools: Tools, directory: Path) -> Iterator[IdentityProvider]:
    # Node resolves packages beside the script's real path, so the script goes to where they can be linked.
    shutil.copy(Path(__file__).parent / "provider" / "provider.mjs", directory)
    (directory / "node_modules").symlink_to(tools.provider_modules)
    port = free_port()
    with Child.start("identity-provider", ["node", directory / "provider.mjs", str(port)], directory) as child:
        issuer = f"http://127.0.0.1:{port}"
        child.wait_for_http(f"{issuer}/.well-known/openid-configuration")
        yield IdentityProvider(issuer)
