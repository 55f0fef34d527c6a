"""What several grades need: to push, to build, to deploy, and to read what AWS made of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import build as builds
from labkit.provision import deploy, source


def hand_in(lab: Lab, files: Mapping[str, str], message: str = "Handed in") -> str:
    """Push these files, if they differ from what is there; returns the branch's commit id."""

    def edit(clone: Path) -> None:
        for name, text in files.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    clone = source.clone(lab)
    there = {name: (clone / name).read_text() for name in files if (clone / name).is_file()}
    if there == dict(files):
        return source.tip(lab) or source.push(lab, message)
    return source.push(lab, message, edit)


def build(lab: Lab) -> dict[str, Any]:
    """Build the branch's newest commit by hand, keep what it makes, and wait for it."""
    return observe.wait_for_build(lab, builds.start_build(lab, commit=source.tip(lab), keep=True))


def succeeded(built: Mapping[str, Any]) -> bool:
    """Whether a build came through."""
    return bool(built.get("buildStatus") == "SUCCEEDED")


def first_failure(built: Mapping[str, Any]) -> str:
    """What the first failed phase of a build said."""
    for phase in built.get("phases", []):
        if phase.get("phaseStatus") not in (None, "SUCCEEDED"):
            said = [context.get("message", "") for context in phase.get("contexts") or []]
            return f"{phase['phaseType']} says: {' '.join(said)}".strip()
    return ""


def artifact(lab: Lab, built: Mapping[str, Any]) -> zipfile.ZipFile | None:
    """The zip that a build has kept; None where it has kept none."""
    if not succeeded(built) or not built.get("artifacts", {}).get("location"):
        return None
    key = builds.artifact_key(lab, built["id"])
    content = lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read()
    return zipfile.ZipFile(io.BytesIO(content))


def deployed(lab: Lab, key: str) -> dict[str, Any]:
    """Deploy a zip of the bucket and wait, for the way back as well; returns the first's deploymentInfo."""
    deployment_id = deploy.create_deployment(lab, key, description="For grading")
    info = observe.wait_for_deployment(lab, deployment_id)
    rollback = info.get("rollbackInfo", {}).get("rollbackDeploymentId")
    if rollback:
        observe.wait_for_deployment(lab, rollback)
    return info


def failed_event(lab: Lab, info: Mapping[str, Any]) -> Mapping[str, str]:
    """Which lifecycle event of a deployment failed, with its `message`; empty where none did."""
    events = observe.lifecycle_events(lab, info["deploymentId"])
    failed = events[events["status"] == "Failed"]
    return {} if failed.empty else failed.iloc[0].to_dict()
