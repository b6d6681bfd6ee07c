"""The pages of the development issuer: plain forms, nothing loaded from anywhere, no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from starlette.responses import HTMLResponse

from ca.dev.grants import CODE_LIFETIME

_STYLE: Final = """
:root { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif; }
body { max-width: 32rem; margin: 3rem auto; padding: 0 1rem; }
label { display: block; margin-top: 1.2rem; font-weight: 600; }
input, textarea { width: 100%; box-sizing: border-box; padding: .5rem; font: inherit; }
textarea, code { font-family: ui-monospace, monospace; }
button { margin: 1.5rem .75rem 0 0; padding: .5rem 1.25rem; font: inherit; }
:focus-visible { outline: 3px solid; outline-offset: 2px; }
.note { margin: .25rem 0 0; font-size: .9rem; }
.alert { padding: .75rem; border: 2px solid; }
.code { font-size: 1.2rem; overflow-wrap: anywhere; user-select: all; }
"""

_HEADERS: Final = {
    # form-action names the loopback hosts too: browsers hold a redirect that answers a form to it.
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self' http://localhost:* http://127.0.0.1:*; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def login(hidden: Mapping[str, str], typed: Mapping[str, str], problem: str = "") -> HTMLResponse:
    """Ask who is there. `hidden` comes back with the answer; `typed` fills the fields."""
    carried = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">\n' for k, v in hidden.items())
    return _page("Log in", f'{_alert(problem)}<form method="post">\n{carried}{_who(typed)}</form>', problem)


def device(typed: Mapping[str, str], problem: str = "") -> HTMLResponse:
    """Ask which device, and who is there. A `user_code` in `typed` is there already."""
    form = f"""<form method="post">
<label for="user_code">Code shown by the device</label>
<input id="user_code" name="user_code" value="{escape(typed.get("user_code", ""))}" required
 autocomplete="off" autocapitalize="characters" spellcheck="false" aria-describedby="user_code_note">
<p class="note" id="user_code_note">Only enter a code that you asked for yourself.</p>
{_who(typed)}</form>"""
    return _page("Log in on a device", _alert(problem) + form, problem)


def code(value: str) -> HTMLResponse:
    """The authorization code, for a client that cannot receive it (out of band)."""
    return _page(
        "Your code",
        f"<p>Copy this code into the program that asked for it, within {CODE_LIFETIME.seconds} seconds:</p>"
        f'<p><code class="code" id="code">{escape(value)}</code></p>',
    )


def done(approved: bool) -> HTMLResponse:  # noqa: FBT001  (the answer itself, not a switch)
    """The end of a device login."""
    if approved:
        return _page("Logged in", "<p>The device has its token. You can close this page.</p>")
    return _page("Refused", "<p>The device gets no token. You can close this page.</p>")


def refusal(problem: str) -> HTMLResponse:
    """A request that cannot be answered by a redirect."""
    return _page("This login cannot go on", _alert(problem), problem)


def _who(typed: Mapping[str, str]) -> str:
    return f"""<label for="email">Your e-mail address</label>
<input id="email" name="email" type="email" required value="{escape(typed.get("email", ""))}"
 autocomplete="email" aria-describedby="email_note">
<p class="note" id="email_note">You are believed: the development issuer asks for no password.</p>
<label for="claims">Further claims (optional)</label>
<textarea id="claims" name="claims" rows="3" spellcheck="false" aria-describedby="claims_note">
{escape(typed.get("claims", ""))}</textarea>
<p class="note" id="claims_note">One a line: <code>name=text</code> or <code>name:=JSON</code>.</p>
<button name="decision" value="approve">Log in</button>
<button name="decision" value="deny" formnovalidate>Refuse</button>
"""


def _alert(problem: str) -> str:
    return f'<p class="alert" role="alert">{escape(problem)}</p>\n' if problem else ""


def _page(title: str, body: str, problem: str = "") -> HTMLResponse:
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{"Error: " if problem else ""}{title} - Dayfly development issuer</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
    return HTMLResponse(document, 400 if problem else 200, headers=_HEADERS)
