"""The templates of tests/vectors/go-template.json went through Go 1.26's text/template, `missingkey=error`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.identity.template_nodes import MissingKeyError
from ca.identity.templates import TemplateSyntaxError, compile_template
from tests.identity.vectors import load, public_metadata

CASES = [(case, group["data"]) for group in load("go-template.json") for case in group["cases"]]
RENDERED = [(case, data) for case, data in CASES if "text" in case and "unsupported" not in case]
MISSING = [(case, data) for case, data in CASES if "error" in case and "unsupported" not in case]
REFUSED = [case for case, _ in CASES if "syntax_error" in case or "unsupported" in case]

DATA = {"url": "https://github.com", "aud": "sigstore", "empty_value": "", "with.dot.and/slash": "cat"}


def named(value: dict) -> str | None:
    return ascii(value["template"]) if "template" in value else ""


@pytest.mark.parametrize(("case", "data"), RENDERED, ids=named)
def test_a_template_renders_as_in_go(case: dict, data: dict[str, str]) -> None:
    assert compile_template(case["template"]).render(data) == case["text"]


@pytest.mark.parametrize(("case", "data"), MISSING, ids=named)
def test_a_missing_field_is_reported_as_in_go(case: dict, data: dict[str, str]) -> None:
    with pytest.raises(MissingKeyError) as missing:
        compile_template(case["template"]).render(data)
    assert missing.value.go_message == case["error"]


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_what_go_refuses_or_we_do_not_support_is_refused_at_load(case: dict) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"\A\d+:\d+: .*; supported are "):
        compile_template(case["template"])


# Fulcio's own cases (TestApplyTemplateOrReplace).
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ .url }}/{{ .aud }}", "https://github.com/sigstore"),
        ("aud", "sigstore"),
        ("with.dot.and/slash", "cat"),
        ('{{ .aud }}/{{(index . "with.dot.and/slash")}}', "sigstore/cat"),
        ('refs/{{if eq .aud "sigstore"}}heads/{{ else }}tags/{{end}}{{ .aud }}', "refs/heads/sigstore"),
        ('refs/{{if eq .aud "x"}}heads/{{ else }}tags/{{end}}{{ .aud }}', "refs/tags/sigstore"),
        ("empty_value", ""),
        ("{{ .empty_value }}", ""),
        ("{{ .empty_value }}/123", "/123"),
    ],
)
def test_templates_and_plain_keys_render(template: str, expected: str) -> None:
    assert compile_template(template).render(DATA) == expected


@pytest.mark.parametrize("template", ["missing", "", " aud", "{ {.aud} }"])
def test_a_plain_key_must_be_there(template: str) -> None:
    with pytest.raises(MissingKeyError) as missing:
        compile_template(template).render(DATA)
    assert missing.value.key == template


def test_nothing_is_escaped_for_html() -> None:
    assert compile_template("<{{ .aud }}>").render({"aud": "<alert()/>"}) == "<<alert()/>>"


def test_index_of_a_missing_key_is_empty() -> None:
    assert compile_template('a/{{index . "x/y"}}/b').render(DATA) == "a//b"


@pytest.mark.parametrize(
    "template",
    [
        'a/{{index . "x/y"}}/b',
        '{{if eq (index . "x/y") "true"}}a{{else}}b{{end}}',
        '{{or (index . "x/y") "z"}}',
        "{{index . (index . `x/y`)}}",
    ],
)
def test_a_name_does_not_depend_on_the_index_of_a_missing_key(template: str) -> None:
    with pytest.raises(MissingKeyError) as missing:
        compile_template(template, index_required=True).render(DATA)
    assert missing.value.key == "x/y"


def test_a_name_can_be_indexed() -> None:
    assert compile_template('{{index . "with.dot.and/slash"}}', index_required=True).render(DATA) == "cat"


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("{{ .a | print }}", "1:7"),
        ("{{}}", "1:3"),
        ("text{{\n.a}}żó {{ .a ", "2:14"),
        ("{{if .a}}x", "1:3"),
        ("{{.a}}{{end}}", "1:9"),
        ("{{ len .a }}", "1:4"),
        ("{{.a-b}}", "1:5"),
        ("{{if .a}}{{else}}{{else}}{{end}}", "1:3"),
        ('x{{if eq . ""}}foo{{end}}', "1:7"),
        ("ab\x00{{.a}}", "1:3"),
        ("{{.a}}\n{{.b}}", "1:7"),
        ('{{.a}}{{- "b"}}\n  {{- .b.c}}', "2:9"),
    ],
)
def test_the_place_of_an_error_is_told(template: str, place: str) -> None:
    with pytest.raises(TemplateSyntaxError) as refusal:
        compile_template(template)
    assert str(refusal.value).startswith(f"{place}: ")


def test_nesting_has_an_end() -> None:
    for opening, closing in (("{{if .a}}", "{{end}}"), ("(", ")")):
        body = opening * 51 + '"x"' + closing * 51
        with pytest.raises(TemplateSyntaxError, match="more than 50 levels"):
            compile_template(body if opening != "(" else "{{" + body + "}}")


def test_a_long_chain_of_else_if_is_not_nesting() -> None:
    chain = '{{if eq .aud "0"}}0' + "".join(f'{{{{else if eq .aud "{n}"}}}}{n}' for n in range(1, 500))
    assert compile_template(chain + "{{end}}").render({"aud": "499"}) == "499"


def test_every_template_of_the_public_instance_compiles() -> None:
    for metadata in public_metadata().values():
        for template in (*metadata.extension_templates.values(), metadata.subject_alternative_name_template):
            compile_template(template)


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", "\n", "{{if", "{{else", "{{end}}", " if ", ".a", ".", "(", ")", "eq ", "and ",
     "or ", "not ", "index . ", '"a"', "`a`", '"', "`", "\\", "x", "ż", "\x00", "/*", "|", "$x", ":=", "1"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join)))
def test_any_text_compiles_or_is_a_syntax_error(source: str) -> None:
    try:
        template = compile_template(source)
    except TemplateSyntaxError:
        return
    try:
        assert isinstance(template.render({"a": "A"}), str)
    except MissingKeyError as missing:
        assert missing.key != "a"  # noqa: PT017
