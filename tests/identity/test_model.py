from __future__ import annotations

from ca.identity.model import Extension


def test_extensions_have_the_keys_of_fulcios_configuration() -> None:
    assert Extension.GITHUB_WORKFLOW_SHA.config_key == "github-workflow-sha"
    assert Extension.GITHUB_WORKFLOW_SHA.go_name == "GithubWorkflowSHA"
    key = "source-repository-visibility-at-signing"
    assert Extension.SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING.config_key == key
    assert Extension.SOURCE_REPOSITORY_OWNER_URI.go_name == "SourceRepositoryOwnerURI"


def test_seven_is_no_extension() -> None:
    assert sorted(Extension) == [*range(1, 7), *range(8, 25)]


def test_the_first_six_are_raw() -> None:
    assert [extension for extension in Extension if extension.raw] == [1, 2, 3, 4, 5, 6]
