"""Trails, and what an account keeps of them.

AWS pages: "Trail" and "GetTrailStatus" in the CloudTrail API Reference.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.shared.service import AWSError

DEFAULT_SELECTORS = [
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [],
        "ExcludeManagementEventSources": [],
    }
]


@dataclass
class Chain:
    """The digest files of one Region, each of which has the signature of the one before.

    Args:
        since: the time that the next one begins with.
        files: the log files that the next one vouches for.
        previous: what the next one says of the last: its bucket, object, hash and signature.
    """

    since: datetime
    files: list[dict[str, Any]] = field(default_factory=list)
    previous: dict[str, str] = field(default_factory=dict)


@dataclass
class Trail:
    """Where to deliver which events.

    Args:
        settings: as Trail in the API Reference names them.
        offset: of the first record in the journal that has not been delivered; None as long as
            nothing was to be.
        status: as GetTrailStatus names it.
    """

    arn: str
    settings: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    selectors: list[dict[str, Any]] = field(default_factory=lambda: list(DEFAULT_SELECTORS))
    advanced: list[dict[str, Any]] = field(default_factory=list)
    logging: bool = False
    offset: int | None = None
    status: dict[str, Any] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)  # by Region
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    @property
    def account_id(self) -> str:
        return self.arn.split(":")[4]

    @property
    def bucket(self) -> str:
        return str(self.settings["S3BucketName"])

    def key(self, *parts: str) -> str:
        """The key of an object below the trail's prefix in its bucket."""
        prefix = self.settings.get("S3KeyPrefix")
        return "/".join([*([prefix] if prefix else []), "AWSLogs", self.account_id, *parts])

    def fields(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "TrailARN": self.arn,
            "HomeRegion": self.region,
            "IsOrganizationTrail": False,
            "HasInsightSelectors": False,
            "HasCustomEventSelectors": self.selectors != DEFAULT_SELECTORS,
            **self.settings,
        }


class TrailsBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.trails: dict[str, Trail] = {}  # by name

    def seen(self) -> list[Trail]:
        """The trails of this Region, and those of all Regions that have their home elsewhere."""
        return [
            trail
            for region, backend in list(trails_backends[self.account_id].items())
            for trail in list(backend.trails.values())
            if region == self.region_name or trail.settings["IsMultiRegionTrail"]
        ]

    def trail(self, name_or_arn: str, *, at_home: bool = False) -> Trail:
        """A trail by its name or ARN.

        Args:
            at_home: only where it was made, as whoever would change it has to ask there.

        Raises:
            AWSError: TrailNotFoundException, InvalidHomeRegionException.
        """
        found = [one for one in self.seen() if name_or_arn in (one.name, one.arn)]
        if not found:
            arn = f"arn:aws:cloudtrail:{self.region_name}:{self.account_id}:trail/{name_or_arn}"
            arn = name_or_arn if name_or_arn.startswith("arn:") else arn
            message = f"Unknown trail: {arn} for the user: {self.account_id}"
            raise AWSError("TrailNotFoundException", message)
        if at_home and found[0].region != self.region_name:
            raise AWSError(
                "InvalidHomeRegionException", f"The home Region of {name_or_arn} is another"
            )
        return found[0]


trails_backends = BackendDict(TrailsBackend, "cloudtrail")


def all_trails() -> list[Trail]:
    """Those of every account and Region."""
    return [
        trail
        for account in list(trails_backends.values())
        for backend in list(account.values())
        for trail in list(backend.trails.values())
    ]
