"""The four types for one CI system each, which Fulcio keeps for old configurations; new ones use `ci-provider`.

Unlike templates they join paths, which cleans `//` and `..` away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ca.errors import ClaimInvalid, ClaimMissing, IdentityNotCertifiable
from ca.identity.claims import json_type, optional_string, required_string, subject
from ca.identity.go_url import URL, URLError, parse
from ca.identity.model import Claims, Extension, Identity, Naming
from ca.identity.names import written

_Texts = Mapping[str, str]
_Description = tuple[URL, Mapping[Extension, str]]


@dataclass(frozen=True, slots=True)
class LegacyCI:
    """SAN: a URI that names the workflow or pipeline."""

    name: str
    required: tuple[str, ...]
    """String claims without which there is no certificate."""
    describe: Callable[[_Texts], _Description]
    """From the claims in `required` and `optional` to SAN and extensions; empty ones are left out."""
    optional: tuple[str, ...] = ()
    required_integers: tuple[str, ...] = ()
    challenge_claim: str = "sub"
    begins: str = ""
    """What every SAN begins with; empty where a claim says so."""

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        return Naming(self.begins, self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing, ClaimInvalid or IdentityNotCertifiable."""
        sub = subject(claims)
        texts = {claim: required_string(claims, claim) for claim in self.required}
        texts |= {claim: optional_string(claims, claim) for claim in self.optional}
        for claim in self.required_integers:
            _require_integer(claims, claim)
        try:
            url, extensions = self.describe(texts)
        except URLError as error:
            raise IdentityNotCertifiable(str(error)) from None
        present = {extension: text for extension, text in extensions.items() if text}
        return Identity(issuer, sub, written(url), challenge=sub, extensions=present)


def _require_integer(claims: Claims, claim: str) -> None:
    value = claims.get(claim)
    if value is None or value == 0:
        raise ClaimMissing(f"missing {claim} claim in ID token", claim=claim)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ClaimInvalid(f"{claim} claim must be an integer, not {json_type(value)}", claim=claim)


# ---- buildkite-job


def _describe_buildkite(claims: _Texts) -> _Description:
    return parse(f"https://buildkite.com/{claims['organization_slug']}/{claims['pipeline_slug']}"), {}


def buildkite_job(challenge_claim: str = "sub") -> LegacyCI:
    return LegacyCI(
        "buildkite-job",
        required=("organization_slug", "pipeline_slug"),
        describe=_describe_buildkite,
        begins="https://buildkite.com/",
        challenge_claim=challenge_claim,
    )


# ---- codefresh-workflow


def _describe_codefresh(claims: _Texts) -> _Description:
    platform = parse(claims["platform_url"] or "https://g.codefresh.io")
    pipeline = f"{claims['pipeline_name']}:{claims['account_id']}/{claims['pipeline_id']}"
    build = str(platform.join_path("build", claims["workflow_id"]))
    return platform.join_path(claims["account_name"], pipeline), {
        Extension.BUILD_SIGNER_URI: build,
        Extension.RUNNER_ENVIRONMENT: claims["runner_environment"],
        Extension.SOURCE_REPOSITORY_URI: claims["scm_repo_url"],
        Extension.SOURCE_REPOSITORY_REF: claims["scm_ref"],
        Extension.BUILD_CONFIG_URI: str(platform.join_path("api", "pipelines", claims["pipeline_id"])),
        Extension.RUN_INVOCATION_URI: build,
    }


def codefresh_workflow(challenge_claim: str = "sub") -> LegacyCI:
    return LegacyCI(
        "codefresh-workflow",
        required=("account_id", "account_name", "pipeline_id", "pipeline_name", "workflow_id"),
        optional=("platform_url", "runner_environment", "scm_ref", "scm_repo_url"),
        describe=_describe_codefresh,
        challenge_claim=challenge_claim,
    )


# ---- github-workflow


def _describe_github(claims: _Texts) -> _Description:
    github = parse("https://github.com/")
    signer = github.join_path(claims["job_workflow_ref"])
    run = ("actions/runs", claims["run_id"], "attempts", claims["run_attempt"])
    return signer, {
        Extension.GITHUB_WORKFLOW_TRIGGER: claims["event_name"],
        Extension.GITHUB_WORKFLOW_SHA: claims["sha"],
        Extension.GITHUB_WORKFLOW_NAME: claims["workflow"],
        Extension.GITHUB_WORKFLOW_REPOSITORY: claims["repository"],
        Extension.GITHUB_WORKFLOW_REF: claims["ref"],
        Extension.BUILD_SIGNER_URI: str(signer),
        Extension.BUILD_SIGNER_DIGEST: claims["job_workflow_sha"],
        Extension.RUNNER_ENVIRONMENT: claims["runner_environment"],
        Extension.SOURCE_REPOSITORY_URI: str(github.join_path(claims["repository"])),
        Extension.SOURCE_REPOSITORY_DIGEST: claims["sha"],
        Extension.SOURCE_REPOSITORY_REF: claims["ref"],
        Extension.SOURCE_REPOSITORY_IDENTIFIER: claims["repository_id"],
        Extension.SOURCE_REPOSITORY_OWNER_URI: str(github.join_path(claims["repository_owner"])),
        Extension.SOURCE_REPOSITORY_OWNER_IDENTIFIER: claims["repository_owner_id"],
        Extension.BUILD_CONFIG_URI: str(github.join_path(claims["workflow_ref"])),
        Extension.BUILD_CONFIG_DIGEST: claims["workflow_sha"],
        Extension.BUILD_TRIGGER: claims["event_name"],
        Extension.RUN_INVOCATION_URI: str(github.join_path(claims["repository"], *run)),
        Extension.SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING: claims["repository_visibility"],
    }


def github_workflow(challenge_claim: str = "sub") -> LegacyCI:
    repository = ("repository", "repository_id", "repository_owner", "repository_owner_id")
    workflow = ("workflow", "workflow_ref", "workflow_sha", "job_workflow_ref", "job_workflow_sha")
    run = ("event_name", "ref", "run_attempt", "run_id", "runner_environment", "sha")
    return LegacyCI(
        "github-workflow",
        required=(*repository, "repository_visibility", *workflow, *run),
        describe=_describe_github,
        begins="https://github.com/",
        challenge_claim=challenge_claim,
    )


# ---- gitlab-pipeline


def _describe_gitlab(claims: _Texts) -> _Description:
    gitlab = parse("https://gitlab.com/")
    # `gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main`: an address without its scheme.
    config = replace(parse(claims["ci_config_ref_uri"]), scheme=b"https")
    return config, {
        Extension.BUILD_SIGNER_URI: str(config),
        Extension.BUILD_SIGNER_DIGEST: claims["ci_config_sha"],
        Extension.RUNNER_ENVIRONMENT: claims["runner_environment"],
        Extension.SOURCE_REPOSITORY_URI: str(gitlab.join_path(claims["project_path"])),
        Extension.SOURCE_REPOSITORY_DIGEST: claims["sha"],
        Extension.SOURCE_REPOSITORY_REF: _gitlab_ref(claims["ref_type"], claims["ref"]),
        Extension.SOURCE_REPOSITORY_IDENTIFIER: claims["project_id"],
        Extension.SOURCE_REPOSITORY_OWNER_URI: str(gitlab.join_path(claims["namespace_path"])),
        Extension.SOURCE_REPOSITORY_OWNER_IDENTIFIER: claims["namespace_id"],
        Extension.BUILD_CONFIG_URI: str(config),
        Extension.BUILD_CONFIG_DIGEST: claims["ci_config_sha"],
        Extension.BUILD_TRIGGER: claims["pipeline_source"],
        Extension.RUN_INVOCATION_URI: str(gitlab.join_path(claims["project_path"], "/-/jobs/", claims["job_id"])),
        Extension.SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING: claims["project_visibility"],
    }


def _gitlab_ref(ref_type: str, ref: str) -> str:
    match ref_type:
        case "branch":
            return f"refs/heads/{ref}"
        case "tag":
            return f"refs/tags/{ref}"
    raise ClaimInvalid(f"unexpected ref_type: {ref_type}, expected branch or tag", claim="ref_type")


def gitlab_pipeline(challenge_claim: str = "sub") -> LegacyCI:
    project = ("namespace_id", "namespace_path", "project_id", "project_path")
    pipeline = ("ci_config_ref_uri", "job_id", "pipeline_id", "pipeline_source")
    return LegacyCI(
        "gitlab-pipeline",
        required=(*project, *pipeline, "ref", "ref_type", "runner_environment", "sha"),
        optional=("ci_config_sha", "project_visibility"),
        required_integers=("runner_id",),
        describe=_describe_gitlab,
        begins="https://",
        challenge_claim=challenge_claim,
    )
