"""Hosts: an EC2 instance that runs in moto is a directory, a port, and the processes of its hooks.

When an instance is launched it gets a free loopback port for as long as it lives, shown as its tag
`labkit:port`, and 127.0.0.1 as its public address, so that who only knows the EC2 API finds its
site. A stopped or terminated instance has no processes; a terminated one no directory either.
User data is not run: a host has Node and the CodeDeploy agent from the start. `roots` says what its
file system is.

Two tags say what cannot be done to a host from outside otherwise, and may be changed at any time:
`labkit:agent=stopped` stops its CodeDeploy agent (as `service codedeploy-agent stop` does on AWS)
until the tag is gone; `labkit:disk-mb=100` is the size of its disk for what the agent brings.

AWS page: "Amazon EC2 instance state changes".
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.iam.models import iam_backends

from labkit.cloud.guests import isolation, languages, own_processes, roots, settings
from labkit.cloud.guests.processes import free_port
from labkit.cloud.shared import clients, runtime
from labkit.cloud.shared.clients import Session

logger = logging.getLogger(__name__)

PORT_TAG = "labkit:port"
_PROFILE = ("iam_instance_profile_name", "iam_instance_profile_arn")
AGENT_TAG, STOPPED = "labkit:agent", "stopped"
DISK_TAG = "labkit:disk-mb"
EC2 = "ec2.amazonaws.com"


class HostError(Exception):
    """A host that cannot be reached or has no credentials."""


@dataclass(frozen=True)
class Host:
    """One running instance as the agent on it sees it."""

    instance_id: str
    region: str
    account_id: str
    port: int
    profile_arn: str | None

    @property
    def directory(self) -> str:
        """The name of its directory, and of the owner of its processes."""
        return self.instance_id

    @cached_property
    def root(self) -> Path:
        """The directory that stands for the host's `/`."""
        return runtime.current().guest_directory("hosts", self.directory)

    @property
    def owner(self) -> str:
        return f"host/{self.directory}"

    @property
    def arn(self) -> str:
        return f"arn:aws:ec2:{self.region}:{self.account_id}:instance/{self.instance_id}"

    @property
    def isolated(self) -> bool:
        return roots.why_not() is None

    @property
    def description(self) -> list[str]:
        """What the scripts' log says of the isolation."""
        if self.isolated:
            return [f"Isolation: {isolation.isolation().told}; a root file system of its own"]
        return [
            f"Isolation: {roots.why_not()}; the host's root is {self.root} (HOST_ROOT)",
            "pkill, killall, pgrep, pidof and fuser -k reach this host's processes alone; kill, ps, "
            "lsof, systemctl and paths without HOST_ROOT reach your machine's",
        ]

    def prepare(self) -> None:
        """Make the directories that the host has from the start."""
        roots.prepare(self.root, isolated=self.isolated)

    def path(self, absolute: str, *, follow: bool = True) -> Path:
        """Where an absolute path of the host lies on this machine.

        Args:
            follow: whether the last name's link is followed, as those before it are.

        Raises:
            OSError: too many links.
        """
        return roots.place(self.root, absolute, follow=follow)

    def absolute(self, path: Path) -> str:
        """The absolute path, on the host, of what lies at `path` on this machine."""
        return "/" + str(path.relative_to(self.root)) if path != self.root else "/"

    def name(self, path: Path) -> str:
        """The name by which a process of the host knows a path of this machine."""
        return self.absolute(path) if self.isolated else str(path)

    def command(self, command: list[str]) -> list[str]:
        """`command` as the host runs it."""
        return roots.command(self.root, command) if self.isolated else command

    def switch_off(self) -> None:
        """End every process of the host."""
        _end_processes(self.directory)

    def has_room(self, more: int) -> None:
        """Raises OSError: the disk has no room for so many bytes more."""
        size = self.tags.get(DISK_TAG, "")
        if size.isdigit() and roots.used(self.root) + more > int(size) << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @property
    def runs(self) -> bool:
        """Whether the instance still runs."""
        return self._instance is not None

    @property
    def agent_runs(self) -> bool:
        """Whether its CodeDeploy agent does."""
        return self.tags.get(AGENT_TAG) != STOPPED

    @property
    def tags(self) -> dict[str, str]:
        instance = self._instance
        return _tags(instance) if instance else {}

    @property
    def _instance(self) -> Any:
        return _running(self.instance_id, self.region, self.account_id)

    def session(self) -> Session:
        """The credentials of the instance profile's role.

        Raises:
            HostError: the instance has no profile, or the profile no role.
            botocore.exceptions.ClientError: the role does not trust EC2.
        """
        if self.profile_arn is None:
            raise HostError(
                "Missing credentials - please check if this instance was started with an IAM instance profile"
            )
        # an instance learns its role from its metadata service, not from IAM's API
        backend = iam_backends[self.account_id]["aws"]
        profiles = [one for one in backend.get_instance_profiles() if one.arn == self.profile_arn]
        if not profiles or not profiles[0].roles:
            raise HostError(f"The instance profile {self.profile_arn} is gone or has no role")
        return clients.assume_role(
            EC2, profiles[0].roles[0].arn, self.instance_id, self.region, source_arn=self.arn
        )

    def environment(self, session: Session | None) -> dict[str, str]:
        """What a process on this host finds in its environment.

        `HOST_ROOT` goes before every absolute path, which makes a script work with and without
        isolation, and on AWS: `$HOST_ROOT/srv/app`.
        """
        scoped = [] if self.isolated else own_processes.before_the_machines()
        path = [*scoped, str(languages.nodejs().bin_dir), os.environ.get("PATH", os.defpath)]
        own = {
            "PATH": os.pathsep.join(path),
            "HOME": self.name(self.root / "root"),
            **({} if self.isolated else {"TMPDIR": str(self.root / "tmp")}),
            "HOST_ROOT": "" if self.isolated else str(self.root),
            "INSTANCE_ID": self.instance_id,
            "PORT": str(self.port),
            "LISTEN_ADDRESS": "127.0.0.1",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": runtime.current().endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return {**settings.environment(), **own, **(session.environment if session else {})}


def find(instance_id: str, region: str, account_id: str) -> Host | None:
    """The host of an instance, or None if it does not run."""
    instance = _running(instance_id, region, account_id)
    port = _port(instance) if instance else None
    if port is None:
        return None
    return Host(instance_id, region, account_id, port, _profile_arn(instance))


def remove(host: Host) -> None:
    """End a host's processes, and remove its directory."""
    host.switch_off()
    shutil.rmtree(host.root, ignore_errors=True)


def _running(instance_id: str, region: str, account_id: str) -> Any:
    running = ec2_backends[account_id][region].all_running_instances()
    return next((instance for instance in running if instance.id == instance_id), None)


def start() -> None:
    """Make moto's instances hosts: called once, when the local AWS starts."""
    launch = InstanceBackend.run_instances
    stop, terminate = InstanceBackend.stop_instances, InstanceBackend.terminate_instances

    def run_instances(self: Any, *arguments: Any, **keywords: Any) -> Any:
        reservation = launch(self, *arguments, **keywords)
        for instance in reservation.instances:
            _become_host(instance)
        # moto gives the profile to the first instance of a reservation only, and none of a template
        given = {key: keywords[key] for key in _PROFILE if keywords.get(key)}
        profile = given or _launch_profile(self, keywords)
        for instance in reservation.instances[1 if given else 0 :] if profile else []:
            self.associate_iam_instance_profile(instance_id=instance.id, **profile)
        return reservation

    def stop_instances(self: Any, instance_ids: list[str], *arguments: Any, **keywords: Any) -> Any:
        answer = stop(self, instance_ids, *arguments, **keywords)
        _end_processes(*instance_ids)
        return answer

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        answer = terminate(self, instance_ids)
        _end_processes(*instance_ids)
        for instance_id in instance_ids:
            shutil.rmtree(runtime.current().guests_dir / "hosts" / instance_id, ignore_errors=True)
        return answer

    InstanceBackend.run_instances = run_instances  # type: ignore[method-assign]
    InstanceBackend.stop_instances = stop_instances  # type: ignore[method-assign]
    InstanceBackend.terminate_instances = terminate_instances  # type: ignore[method-assign]
    loopback = property(lambda self: "127.0.0.1" if self.state == "running" else None)
    Instance.public_ip = Instance.public_ip_address = loopback  # type: ignore[assignment]
    Instance.public_dns_name = property(  # type: ignore[assignment]
        lambda self: "localhost" if self.state == "running" else None
    )


def _launch_profile(backend: Any, keywords: dict[str, Any]) -> dict[str, str]:
    """The instance profile of a launch template, or of a launch configuration."""
    if keywords.get("launch_template"):
        template = backend._get_template_from_args(keywords["launch_template"])
        found = template.data.get("IamInstanceProfile") or {}
        named = {"iam_instance_profile_name": found.get("Name")}
        named["iam_instance_profile_arn"] = found.get("Arn")
        return {key: value for key, value in named.items() if value}
    name = getattr(keywords.get("launch_config"), "iam_instance_profile", None)
    return {"iam_instance_profile_name": name} if name else {}


def _become_host(instance: Any) -> None:
    instance.add_tags({PORT_TAG: str(free_port())})
    directory = runtime.current().guest_directory("hosts", instance.id)
    if instance.user_data:
        logger.info("%s: user data is not run; Node and the agent are there", instance.id)
    logger.info("%s is a host: %s, port %s", instance.id, directory, _port(instance))


def _end_processes(*directories: str) -> None:
    for name in directories:
        runtime.current().processes.end(f"host/{name}", grace_seconds=2)
        roots.stop(runtime.current().guests_dir / "hosts" / name)


def _tags(instance: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in instance.get_tags()}


def _port(instance: Any) -> int | None:
    port = _tags(instance).get(PORT_TAG, "")
    return int(port) if port.isdigit() else None


def _profile_arn(instance: Any) -> str | None:
    backend = ec2_backends[instance.owner_id][instance.region_name]
    association = backend.iam_instance_profile_associations.get(instance.id)
    return association.iam_instance_profile.arn if association else None
