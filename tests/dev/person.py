"""Somebody with a browser: reads a page's form as HTML and sends it as a browser would."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx


class Page(HTMLParser):
    """What of a page matters here: its form fields, the text of what has an id or a role, and what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.labelled: set[str] = set()
        self.text: dict[str, str] = {}
        self.loads: list[str] = []
        self.scripts = 0
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loads += [given[name] for name in ("src", "href", "srcset", "data") if name in given]
        self.scripts += tag == "script" or any(name.startswith("on") for name in given)
        if tag in ("input", "textarea"):
            self.fields[given["name"]] = given.get("value", "")
        if tag == "label":
            self.labelled.add(given["for"])
        self._inside = given.get("id") or given.get("role") or tag

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.text.setdefault(self._inside, data.strip())


def submit(client: httpx.Client, page: httpx.Response, **typed: str) -> httpx.Response:
    """Fills the form of `page` in and sends it; redirects are for the test to follow."""
    form = {name: value for name, value in Page(page.text).fields.items() if value}
    return client.post(page.url, data={**form, "decision": "approve", **typed})
