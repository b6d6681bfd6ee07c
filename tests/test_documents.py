from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ca.documents import Document, load, parse, validate
from ca.errors import ConfigurationError

PUBLIC_INSTANCE = Path(__file__).parent / "vectors" / "fulcio-public-instance.yaml"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    log_key: str = Field(alias="log-key", default="")
    lifetime: int = Field(default=600, le=600)
    mode: Literal["a", "b"] = "a"

    @field_validator("log_key")
    @classmethod
    def no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("holds a space")
        return value


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ct: Inner = Inner()
    named: dict[str, Inner] = {}
    several: list[Inner] | None = None


def refusal(text: str, model: type[BaseModel] = Outer, name: str = "ca.yaml") -> str:
    with pytest.raises(ConfigurationError) as refused:
        validate(model, parse(text, name))
    return refused.value.detail


def test_the_public_instances_file_reads_as_pyyaml_reads_it():
    assert load(PUBLIC_INSTANCE).data == yaml.safe_load(PUBLIC_INSTANCE.read_text())


def test_a_value_knows_its_line_where_its_key_or_value_is_an_alias():
    document = load(PUBLIC_INSTANCE)
    lines = PUBLIC_INSTANCE.read_text().splitlines()
    assert lines[document.line("ci-issuer-metadata", "gitlab-pipeline") - 1] == "  *gitlab-type:"
    line = document.line("oidc-issuers", "https://gitlab.com", "ci-provider")
    assert "ci-provider: *gitlab-type" in lines[line - 1]
    assert lines[document.line("define", 2) - 1] == '  - &codefresh-type "codefresh-workflow"'


def test_a_place_that_is_not_there_has_the_line_of_what_should_hold_it():
    document = parse("a: 1\nb:\n  c: 1\n", "x.yaml")
    assert (document.line("b", "d"), document.line("z"), document.line()) == (2, 1, 1)


def test_an_error_begins_with_file_line_and_place():
    document = parse('a: 1\nb:\n  "https://x.example":\n    - k: 1\n', "x.yaml")
    error = document.error(("b", "https://x.example", 0, "k"), "is wrong")
    assert error.detail == 'x.yaml:4: b["https://x.example"][0].k: is wrong'


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: on", {"a": "on"}),
        ("a: yes", {"a": "yes"}),
        ("a: 12:30", {"a": "12:30"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: 0x1F\nb: 0o17\nc: 017\nd: -3", {"a": 31, "b": 15, "c": 17, "d": -3}),
        ("a: 1.5\nb: 1e3\nc: .5\nd: 1_000\ne: .nan", {"a": 1.5, "b": 1000.0, "c": 0.5, "d": "1_000", "e": ".nan"}),
        ("a: true\nb: FALSE\nc: 'true'\nd: !!str true", {"a": True, "b": False, "c": "true", "d": "true"}),
        ("a: ~\nb:\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
        ("a: " + "9" * 5000, {"a": "9" * 5000}),
        ("x: &x {k: 1, l: 2}\ny:\n  <<: *x\n  l: 3", {"x": {"k": 1, "l": 2}, "y": {"k": 1, "l": 3}}),
        ("- &a {k: 1}\n- &b {k: 2, m: 2}\n- <<: [*a, *b]", [{"k": 1}, {"k": 2, "m": 2}, {"k": 1, "m": 2}]),
        ("{a: b}", {"a": "b"}),
        ('{"a": [1, 2.5, true, null, "\\ud83d\\ude00"],\n\t"b": {}}', {"a": [1, 2.5, True, None, "😀"], "b": {}}),
        ('{"a": "x, {y}: [z] \\" \\\\"}', {"a": 'x, {y}: [z] " \\'}),
    ],
)
def test_documents_read_as_the_core_schema_says(text, data):
    assert parse(text, "x").data == data


def test_text_only_keeps_every_scalar_as_it_is_written():
    document = parse("a: 0123\nb: 1.10\nc: true\nd: ~\n1: x", "x.yaml", text_only=True)
    assert document.data == {"a": "0123", "b": "1.10", "c": "true", "d": None, "1": "x"}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a: 1\nb: 2\na: 3", "x:3: the key a appears twice, first in line 1"),
        ("b:\n  a: 1\n  'a': 3", "x:3: the key a appears twice"),
        ("- &k a\n- {a: 1, *k : 2}", "x:2: the key a appears twice"),
        ('{"a": 1,\n\n "\\u0061": 2}', "x:3: the key a appears twice, first in line 1"),
        ("1: x", "x:1: a key has to be text"),
        ("a: 1\ntrue: x", "x:2: a key has to be text"),
        ("? [a]\n: b", "x:1: a key has to be text"),
        ("? {a: b}\n: b", "x:1: a key has to be text"),
        ("a: &x [*x]", "x:1: *x stands for nothing"),
        ("a: &x\n  b: *x", "x:2: *x stands for nothing"),
        ("a: *y", "x:1: *y stands for nothing"),
        ("a: 1\n---\nb: 1", "x:2: a second document"),
        ("a: 1\n---\n", "x:2: a second document"),
        ("\n\na: [1,\n", "x:3: not YAML: "),
        ("a: 1\n\tb: 2", "x:2: not YAML: "),
        ("a: 1\nb", "x:2: not YAML: "),
        ("a: !!python/object:os.system x", "x:1: the tag "),
        ("a: !!timestamp 2024-01-01", "x:1: the tag "),
        ("a: !mine x", "x:1: the tag !mine is not supported"),
        ("a: 1\n<<: 5", "x:2: << takes a mapping"),
        ("a: \x01", "x:1: not YAML: "),
        ("[" * 40 + "]" * 40, "x:1: nested deeper than"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", "x:1: nested deeper than"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "x:1: nested deeper than"),
    ],
)
def test_what_is_no_strict_document_is_refused_with_its_line(text, detail):
    with pytest.raises(ConfigurationError) as refused:
        parse(text, "x")
    assert refused.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('{"a": 1,\n "b": }', "x.json:2: not JSON: Expecting value"),
        ('{"a": NaN}', "x.json: not JSON: NaN"),
        ("a: 1", "x.json:1: not JSON"),
        ("", "x.json:1: not JSON"),
        ('{"a": "' + "\t" + '"}', "x.json:1: not JSON"),
        ("[" * 100_000, "x.json"),
    ],
)
def test_a_json_file_that_is_not_json_is_refused_as_json(text, detail):
    with pytest.raises(ConfigurationError) as refused:
        parse(text, "x.json")
    assert refused.value.detail.startswith(detail)


def test_an_alias_bomb_is_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)
    )
    with pytest.raises(ConfigurationError, match="aliases expanded"):
        parse(bomb, "x.yaml")


def test_tabs_are_whitespace_in_json():
    document = parse('{\n\t"a":\t1,\n\t"b": [\n\t\t2\n\t]\n}', "x")
    assert document.data == {"a": 1, "b": [2]}
    assert document.line("b", 0) == 4


def test_files_that_cannot_be_read_say_why(tmp_path):
    missing = tmp_path / "none.yaml"
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read: No such file"):
        load(missing)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\nb: \xe9".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml:2: not UTF-8"):
        load(latin)
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        os.truncate(file.fileno(), 5 << 20)
    with pytest.raises(ConfigurationError, match="larger than 4 MiB"):
        load(large)


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load(path).data == {"a": 1}


def test_a_valid_document_becomes_the_model():
    document = parse("name: x\nct:\n  log-key: k\nnamed:\n  one: {lifetime: 5}\n", "ca.yaml")
    assert validate(Outer, document).ct.log_key == "k"
    assert validate(Inner, document, ("named", "one")).lifetime == 5


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("ct: {}", "ca.yaml:1: name: is missing"),
        ("", "ca.yaml:1: name: is missing"),
        ("name: x\nct:\n  log-kye: k", "ca.yaml:3: ct.log-kye: unknown key; did you mean log-key?"),
        ("name: x\nct:\n  log_key: k", "ca.yaml:3: ct.log_key: unknown key; did you mean log-key?"),
        ("name: x\nct:\n  zzz: k", "ca.yaml:3: ct.zzz: unknown key; known: lifetime, log-key, mode"),
        ("name: x\nnmaed: k", "ca.yaml:2: nmaed: unknown key; did you mean named?"),
        ("name: x\nnamed:\n  a:\n    lifetme: 1", "ca.yaml:4: named.a.lifetme: unknown key; did you mean lifetime?"),
        ("name: x\nseveral:\n- mode: a\n- moed: a", "ca.yaml:4: several[1].moed: unknown key; did you mean mode?"),
        ("name: 5", "ca.yaml:1: name: expected text; put it into quotes"),
        ("name: x\nct: 5", "ca.yaml:2: ct: expected a mapping"),
        ("name: x\nct: {lifetime: 601}", "ca.yaml:2: ct.lifetime: expected at most 600"),
        ("name: x\nct: {log-key: a b}", "ca.yaml:2: ct.log-key: holds a space"),
        ("name: x\nct: {mode: c}", "ca.yaml:2: ct.mode: expected 'a' or 'b'"),
        ("- 1", "ca.yaml:1: expected a mapping"),
    ],
)
def test_a_problem_is_told_with_its_line_and_place(text, detail):
    assert refusal(text).startswith(detail)


def test_every_problem_is_told_in_the_order_of_the_file():
    detail = refusal("ct:\n  lifetime: 700\n  mod: a\nnamed:\n  one: 1\n")
    assert [line.split(": ")[0] for line in detail.splitlines()] == ["ca.yaml:1", "ca.yaml:2", "ca.yaml:3", "ca.yaml:5"]


def test_renamed_keys_keep_their_lines_and_may_not_collide():
    document = parse('{\n"Name": "x",\n"CT": {\n"LogKey": "a b"}}', "ca.json")
    names = {"Name": "name", "CT": "ct", "LogKey": "log-key"}

    def name_of(place, key):
        return names.get(key, key)

    renamed: Document = document.renamed(name_of)
    assert renamed.data == {"name": "x", "ct": {"log-key": "a b"}}
    with pytest.raises(ConfigurationError, match=r"ca\.json:4: ct\.log-key: holds a space"):
        validate(Outer, renamed)
    with pytest.raises(ConfigurationError, match="the same as another key of this mapping, name"):
        parse('{"Name": 1, "name": 2}', "ca.json").renamed(name_of)
