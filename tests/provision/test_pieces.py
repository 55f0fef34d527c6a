"""All pieces: made, made again, listed, and gone without a trace."""

from __future__ import annotations

from typing import Any

import pytest

from labkit import course, provision
from labkit.lab import Lab
from labkit.observe import wait_for_execution
from labkit.provision import artifacts, build, deploy, pipeline

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_every_piece_is_made_once_and_leaves_nothing(lab_environment: Any) -> None:
    lab, told = Lab("pieces"), list[str]()
    assert provision.left_over(lab) == []
    first = provision.provision(lab, on_progress=lambda name, _: told.append(name))
    assert told == ["source", "roles", "artifacts", "build", "deploy", "pipeline"]
    again = provision.provision(lab)
    assert again["first_commit"] == first["first_commit"]
    assert again["create_instances"] == first["create_instances"]
    assert again["create_pipeline"]["version"] == first["create_pipeline"]["version"] == 1
    kinds = {line.rsplit(" ", 1)[0] for line in provision.left_over(lab)}
    assert {"pipeline", "event rule", "application", "instance", "bucket", "role"} <= kinds
    assert {"instance profile", "build project", "log group", "repository"} <= kinds
    provision.tear_down(lab)  # while the first execution still runs
    assert provision.left_over(lab) == []
    provision.tear_down(lab)


def test_provisioning_may_stop_at_a_piece(lab_environment: Any) -> None:
    lab = Lab("half")
    try:
        made = provision.provision(lab, until="artifacts")
        assert made["create_bucket"] == lab.bucket
        kinds = {line.split()[0] for line in provision.left_over(lab)}
        assert kinds == {"repository", "role", "instance", "bucket"}  # "instance profile"
        with pytest.raises(ValueError, match="no piece 'all'"):
            provision.provision(lab, until="all")
    finally:
        provision.tear_down(lab)
    assert provision.left_over(lab) == []


def test_the_bucket_is_closed_encrypted_versioned_and_tidies_up(lab_environment: Any) -> None:
    lab = Lab("closed")
    s3, bucket = lab.client("s3"), artifacts.create_bucket(lab)
    artifacts.create_bucket(lab)
    try:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(block.values()) and len(block) == 4
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        rule = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]
        assert rule["Expiration"]["Days"] == artifacts.KEEP_DAYS
        tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        assert tags == [{"Key": "labkit", "Value": "closed"}]
        for text in (b"one", b"two"):
            s3.put_object(Bucket=bucket, Key="x", Body=text)
        s3.delete_object(Bucket=bucket, Key="x")
    finally:
        artifacts.delete_bucket(lab)
    assert provision.left_over(lab) == []
    artifacts.delete_bucket(lab)


@pytest.mark.slow
def test_the_declaration_changes_only_when_it_is_another(lab_environment: Any) -> None:
    lab = Lab("declared")
    try:
        provision.provision(lab)
        wait_for_execution(lab)
        assert pipeline.create_pipeline(lab)["version"] == 1
        changed = pipeline.create_pipeline(lab, approval=True)
        assert changed["version"] == 2
        names = [stage["name"] for stage in changed["stages"]]
        assert names == ["Source", "Build", "Approve", "Deploy"]
        assert pipeline.create_pipeline(lab, approval=True)["version"] == 2
        assert not pipeline.approve(lab)  # nothing waits: an update starts nothing
    finally:
        provision.tear_down(lab)


@pytest.mark.slow
def test_every_piece_carries_the_labs_tags(lab_environment: Any) -> None:
    lab = Lab("tagged")
    try:
        provision.provision(lab, until="deploy")
        for instance in deploy.instances(lab):
            assert deploy.tags_of(instance)["labkit"] == "tagged"
        codecommit, logs = lab.client("codecommit"), lab.client("logs")
        repository = lab.arn("codecommit", lab.repository)
        assert codecommit.list_tags_for_resource(resourceArn=repository)["tags"] == lab.tags
        group = lab.arn("logs", f"log-group:{build.log_group(lab)}")
        assert logs.list_tags_for_resource(resourceArn=group)["tags"] == lab.tags
        project = lab.client("codebuild").batch_get_projects(names=[lab.project])["projects"][0]
        assert project["tags"] == [{"key": "labkit", "value": "tagged"}]
    finally:
        provision.tear_down(lab)


def test_what_is_provisioned_is_what_the_source_says(lab_environment: Any) -> None:
    assert course.sample_app().is_dir()
    assert [piece.name for piece in provision.PIECES] == [
        "source", "roles", "artifacts", "build", "deploy", "pipeline",
    ]  # fmt: skip
