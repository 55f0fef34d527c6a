"""Which AWS a Lab talks to: the local one of this environment, and no other by accident."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.lab import Lab, LabError, tag_list

LOCAL = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """An environment as `labkit env` makes it, of a lab that need not run."""
    for name, value in {**LOCAL, "LABKIT_STATE_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("missing", [*LOCAL, "LABKIT_STATE_DIR"])
def test_without_the_labs_environment_it_says_what_to_run(
    environment: pytest.MonkeyPatch, missing: str
) -> None:
    environment.delenv(missing)
    with pytest.raises(LabError, match=r"labkit lab.*labkit env"):
        Lab()


@pytest.mark.parametrize(
    "endpoint", ["https://s3.amazonaws.com", "http://127.0.0.1.example.com:80", "http://10.0.0.1"]
)
def test_an_endpoint_elsewhere_is_never_taken_for_the_local_aws(
    environment: pytest.MonkeyPatch, endpoint: str
) -> None:
    environment.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(LabError, match="No local AWS"):
        Lab()


def test_a_real_account_has_to_be_asked_for_outside_the_lab(
    environment: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LabError, match="For a real account"):
        Lab(target="aws")
    environment.delenv("AWS_ENDPOINT_URL")
    assert not Lab(target="aws").is_local


def test_there_are_two_targets(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="'prod'"):
        Lab(target="prod")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", "https://s3.us-east-1.amazonaws.com"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ],
)
def test_settings_that_lead_a_client_elsewhere_are_refused(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(LabError, match="boto3 would talk to"):
        Lab().client("s3")


def test_clients_are_made_once_and_talk_to_the_endpoint(environment: pytest.MonkeyPatch) -> None:
    lab = Lab()
    assert lab.client("s3") is lab.client("s3")
    assert lab.client("s3").meta.endpoint_url == LOCAL["AWS_ENDPOINT_URL"]


def test_names_say_which_lab_they_belong_to(lab_environment: Any) -> None:
    lab = Lab("shop")
    assert (lab.repository, lab.pipeline, lab.project) == ("shop", "shop-pipeline", "shop-build")
    assert lab.bucket == f"shop-artifacts-{lab.account_id}-{lab.region}"
    assert lab.role_arn("codebuild") == f"arn:aws:iam::{lab.account_id}:role/shop-codebuild"
    assert lab.arn("codecommit", "shop") == f"arn:aws:codecommit:us-east-1:{lab.account_id}:shop"
    assert tag_list(lab) == [{"Key": "labkit", "Value": "shop"}]
    assert tag_list(lab, "key", "value") == [{"key": "labkit", "value": "shop"}]
    assert lab.workspace == lab_environment.state_dir / "work"
    assert lab.workspace.is_dir()


def test_it_says_where_it_is(lab_environment: Any) -> None:
    assert "local AWS" in repr(Lab())
    assert "the local AWS" in Lab()._repr_html_()
    assert lab_environment.description["secret_access_key"] not in repr(Lab())
