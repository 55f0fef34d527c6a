"""What the CodeDeploy tests share: three hosts, the roles, and a way to deploy to them."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from labkit.cloud.guests.processes import Processes
from tests.roles import create_role
from tests.waiting import eventually

ALL_AT_ONCE = "CodeDeployDefault.AllAtOnce"
OVER = {"Succeeded", "Failed", "Stopped"}


@dataclass
class Fleet:
    """Hosts in the shared lab, one application, and what it takes to deploy to them."""

    aws: Any
    application: str
    bucket: str
    service_role: str
    host_role: str
    profile: str
    hosts: list[str] = field(default_factory=list)  # sorted, as a first deployment takes them
    names: dict[str, str] = field(default_factory=dict)  # instance to its tag Name
    group_ids: dict[str, str] = field(default_factory=dict)

    @property
    def codedeploy(self) -> Any:
        return self.aws.client("codedeploy")

    def path(self, instance: str, absolute: str = "/") -> Path:
        """Where a path of a host lies on this machine."""
        return self.aws.guests_dir / "hosts" / instance / absolute.lstrip("/")

    def runs(self, instance: str, pid: int) -> bool:
        """Whether a process of a host runs, by the number that it has on the host."""
        found = Processes(self.aws.state_dir).find(f"host/{instance}")
        return any(pid in (one.pid, _number_on_host(one.pid)) for one in found)

    def launch(self, *, profile: bool = True, **tags: str) -> str:
        """Launch a host; returns the instance's id."""
        name = f"{self.application}-{len(self.names)}"
        pairs = [{"Key": key, "Value": value} for key, value in {"Name": name, **tags}.items()]
        settings = {"IamInstanceProfile": {"Name": self.profile}} if profile else {}
        [instance] = self.aws.client("ec2").run_instances(
            ImageId=self.aws.image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}],
            **settings,
        )["Instances"]
        self.names[instance["InstanceId"]] = name
        return instance["InstanceId"]

    def group(self, *instances: str, **settings: Any) -> str:
        """Create a deployment group of these instances; returns its name."""
        name = f"group-{uuid4().hex[:10]}"
        if instances:
            settings["ec2TagFilters"] = [
                {"Key": "Name", "Value": self.names[instance], "Type": "KEY_AND_VALUE"}
                for instance in instances
            ]
        made = self.codedeploy.create_deployment_group(
            applicationName=self.application,
            deploymentGroupName=name,
            **{
                "serviceRoleArn": self.service_role,
                "deploymentConfigName": ALL_AT_ONCE,
                **settings,
            },
        )
        self.group_ids[name] = made["deploymentGroupId"]
        return name

    def upload(self, body: bytes) -> str:
        key = f"bundles/{uuid4().hex}"
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def start(self, group: str, files: dict[str, Any] | None, **settings: Any) -> str:
        """Start a deployment of a zip of `files`, or of the group's revision; returns its id."""
        if files is not None and "revision" not in settings:
            settings["revision"] = self.revision(self.upload(bundle(files)))
        return self.codedeploy.create_deployment(
            applicationName=self.application, deploymentGroupName=group, **settings
        )["deploymentId"]

    def revision(self, key: str, kind: str = "zip", **more: str) -> dict[str, Any]:
        location = {"bucket": self.bucket, "key": key, "bundleType": kind, **more}
        return {"revisionType": "S3", "s3Location": location}

    def deploy(self, group: str, files: dict[str, Any] | None, **settings: Any) -> dict[str, Any]:
        """Deploy and return the deployment when it is over."""
        return self.wait(self.start(group, files, **settings))

    def get(self, deployment: str) -> dict[str, Any]:
        return self.codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]

    def wait(self, deployment: str, seconds: float = 30) -> dict[str, Any]:
        return eventually(
            lambda: self.get(deployment), seconds, enough=lambda info: info["status"] in OVER
        )

    def wait_for_event(self, deployment: str, instance: str, name: str) -> None:
        """Return when a lifecycle event of a target has begun."""
        targets = partial(self.codedeploy.list_deployment_targets, deploymentId=deployment)
        eventually(lambda: instance in targets()["targetIds"])
        eventually(
            lambda: self.events(deployment, instance)[name]["status"],
            enough=lambda status: status not in ("Pending", "Skipped"),
            what=name,
        )

    def target(self, deployment: str, instance: str) -> dict[str, Any]:
        return self.codedeploy.get_deployment_target(deploymentId=deployment, targetId=instance)[
            "deploymentTarget"
        ]["instanceTarget"]

    def events(self, deployment: str, instance: str) -> dict[str, dict[str, Any]]:
        events = self.target(deployment, instance)["lifecycleEvents"]
        return {event["lifecycleEventName"]: event for event in events}

    def scripts_log(self, group: str, deployment: str, instance: str) -> str:
        root = "/opt/codedeploy-agent/deployment-root"
        log = self.path(instance, f"{root}/{self.group_ids[group]}/{deployment}/logs/scripts.log")
        return log.read_text(encoding="utf-8") if log.exists() else ""


def _number_on_host(pid: int) -> int | None:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        numbers = [line.split()[-1] for line in status if line.startswith("NSpid:")]
        return int(numbers[0]) if numbers else None
    return None


def bundle(files: dict[str, Any]) -> bytes:
    """A zip of `files`: a text, or a mapping of `text` and `mode`, or of `link`.

    `*.sh` is executable, and begins with `#!/bin/sh` if it has no such line of its own.
    """
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            mode, text = read_entry(name, content)
            info.external_attr = mode << 16
            archive.writestr(info, text)
    return body.getvalue()


def read_entry(name: str, content: Any) -> tuple[int, str]:
    """The mode and the text of one file of a bundle."""
    entry = content if isinstance(content, dict) else {"text": content}
    if "link" in entry:
        return stat.S_IFLNK | 0o777, entry["link"]
    text, is_script = entry["text"], name.endswith(".sh")
    if is_script and not text.startswith("#!"):
        text = "#!/bin/sh\n" + text
    return stat.S_IFREG | int(entry.get("mode", "755" if is_script else "644"), 8), text


@pytest.fixture(scope="session")
def fleet(aws: Any) -> Iterator[Fleet]:
    yield from make_fleet(aws)


def make_fleet(aws: Any) -> Iterator[Fleet]:
    """Hosts in a running lab; they are terminated at the end."""
    name = f"codedeploy-cases-{uuid4().hex[:8]}"
    iam = aws.client("iam")
    services = ("codedeploy", "ec2")
    roles = [create_role(aws, f"{name}-{one}", f"{one}.amazonaws.com") for one in services]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=f"{name}-ec2")
    aws.client("s3").create_bucket(Bucket=name)
    aws.client("codedeploy").create_application(applicationName=name)
    shared = Fleet(aws, name, name, *roles, name)
    shared.hosts = sorted(shared.launch() for _ in range(3))
    yield shared
    aws.client("ec2").terminate_instances(InstanceIds=list(shared.names))
