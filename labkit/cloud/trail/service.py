"""CloudTrail's API: the event history, and trails.

AWS page: "AWS CloudTrail API Reference". Insights, event data stores (Lake), channels and dashboards have
no method here, and are refused by name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from labkit.cloud.iam import state
from labkit.cloud.shared.service import AWSError, Service, page
from labkit.cloud.trail import delivery, digests, iam, journal, selectors  # noqa: F401 - IAM asks it
from labkit.cloud.trail.lookup import MOST, lookup
from labkit.cloud.trail.models import DEFAULT_SELECTORS, Trail, TrailsBackend, trails_backends

Answer = dict[str, Any]
_NAME = re.compile(r"(?!.*[._-]{2})[A-Za-z0-9][A-Za-z0-9._-]{1,126}[A-Za-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_MOST_TRAILS = 5
_LOG_GROUP = "CloudWatchLogsLogGroupArn"
_ROLE = "CloudWatchLogsRoleArn"


class CloudTrail(Service):
    boto3_name: ClassVar[str] = "cloudtrail"

    @property
    def backend(self) -> TrailsBackend:
        return trails_backends[self.current_account][self.region]

    # the event history

    def lookup_events(
        self,
        LookupAttributes: list[dict[str, str]] | None = None,
        StartTime: datetime | None = None,
        EndTime: datetime | None = None,
        EventCategory: str | None = None,
        MaxResults: int | None = None,
        NextToken: str | None = None,
    ) -> Answer:
        if EventCategory is not None:
            message = "The lab's local AWS has no insights events (nothing was done)."
            raise AWSError("InvalidEventCategoryException", message)
        found, token = lookup(
            self.current_account,
            self.region,
            LookupAttributes or [],
            _utc(StartTime),
            _utc(EndTime),
            MOST if MaxResults is None else MaxResults,
            NextToken,
        )
        return {"Events": found, "NextToken": token}

    def list_public_keys(
        self,
        StartTime: datetime | None = None,
        EndTime: datetime | None = None,
        NextToken: str | None = None,
    ) -> Answer:
        end = _utc(EndTime) or datetime.now(UTC)
        start = _utc(StartTime) or end - timedelta(days=1)
        if start > end:
            raise AWSError("InvalidTimeRangeException", "The start time is after the end time")
        key = digests.key(self.region).fields()
        valid = key["ValidityStartTime"] <= end and key["ValidityEndTime"] >= start
        return {"PublicKeyList": [key] if valid else []}

    # trails

    def create_trail(
        self,
        Name: str,
        S3BucketName: str,
        TagsList: list[dict[str, str]] | None = None,
        **given: Any,
    ) -> Answer:
        if not _NAME.fullmatch(Name) or _ADDRESS.fullmatch(Name):
            message = (
                "A trail's name has 3 to 128 letters, digits, periods, underscores and dashes, begins and ends "
                "with a letter or digit, has no two of the others side by side, and is no IP address"
            )
            raise AWSError("InvalidTrailNameException", message)
        if Name in self.backend.trails:
            message = f"Trail {Name} already exists for customer: {self.current_account}"
            raise AWSError("TrailAlreadyExistsException", message)
        if len(self.backend.trails) >= _MOST_TRAILS:
            message = (
                f"User: {self.current_account} already has {_MOST_TRAILS} trails in {self.region}."
            )
            raise AWSError("MaximumNumberOfTrailsExceededException", message)
        settings = {
            "IncludeGlobalServiceEvents": True,
            "IsMultiRegionTrail": False,
            "LogFileValidationEnabled": False,
        }
        trail = Trail(self.arn(f"trail/{Name}"), settings, _tags(TagsList))
        self._set(trail, {"S3BucketName": S3BucketName, **given})
        self.backend.trails[Name] = trail
        return _told(trail)

    def update_trail(self, Name: str, **given: Any) -> Answer:
        trail = self.backend.trail(Name, at_home=True)
        changed = Trail(trail.arn, dict(trail.settings))
        self._set(changed, given)
        with trail.lock:
            trail.settings = changed.settings
        return _told(trail)

    def delete_trail(self, Name: str) -> Answer:
        trail = self.backend.trail(Name, at_home=True)
        self._stop(trail)
        del self.backend.trails[trail.name]
        return {}

    def get_trail(self, Name: str) -> Answer:
        return {"Trail": self.backend.trail(Name).fields()}

    def describe_trails(
        self, trailNameList: list[str] | None = None, includeShadowTrails: bool = True
    ) -> Answer:
        found = [
            trail
            for trail in self.backend.seen()
            if (includeShadowTrails or trail.region == self.region)
            and (not trailNameList or {trail.name, trail.arn} & set(trailNameList))
        ]
        return {"trailList": [trail.fields() for trail in found]}

    def list_trails(self, NextToken: str | None = None) -> Answer:
        items, token = page(
            self.backend.seen(), NextToken, None, error_code="InvalidTokenException"
        )
        names = ("Name", "TrailARN", "HomeRegion")
        listed = [{name: trail.fields()[name] for name in names} for trail in items]
        return {"Trails": listed, "NextToken": token}

    def start_logging(self, Name: str) -> Answer:
        trail = self.backend.trail(Name, at_home=True)
        with trail.lock:
            if not trail.logging:
                trail.logging, trail.offset = True, journal.end()
                trail.chains = {}
                trail.status["StartLoggingTime"] = datetime.now(UTC).replace(microsecond=0)
        delivery.deliveries.begin()
        return {}

    def stop_logging(self, Name: str) -> Answer:
        self._stop(self.backend.trail(Name, at_home=True))
        return {}

    def get_trail_status(self, Name: str) -> Answer:
        trail = self.backend.trail(Name)
        return {"IsLogging": trail.logging, **trail.status}

    def put_event_selectors(
        self,
        TrailName: str,
        EventSelectors: list[Answer] | None = None,
        AdvancedEventSelectors: list[Answer] | None = None,
    ) -> Answer:
        trail = self.backend.trail(TrailName, at_home=True)
        if bool(EventSelectors) is bool(AdvancedEventSelectors):
            message = "Give either event selectors or advanced event selectors"
            raise selectors.invalid(message)
        if EventSelectors:
            trail.selectors, trail.advanced = selectors.basic(EventSelectors), []
            return {"TrailARN": trail.arn, "EventSelectors": trail.selectors}
        trail.advanced = selectors.advanced(AdvancedEventSelectors or [])
        trail.selectors = list(DEFAULT_SELECTORS)
        return {"TrailARN": trail.arn, "AdvancedEventSelectors": trail.advanced}

    def get_event_selectors(self, TrailName: str) -> Answer:
        trail = self.backend.trail(TrailName)
        if trail.advanced:
            return {"TrailARN": trail.arn, "AdvancedEventSelectors": trail.advanced}
        return {"TrailARN": trail.arn, "EventSelectors": trail.selectors}

    def add_tags(self, ResourceId: str, TagsList: list[dict[str, str]]) -> Answer:
        self._tagged(ResourceId).tags.update(_tags(TagsList))
        return {}

    def remove_tags(self, ResourceId: str, TagsList: list[dict[str, str]]) -> Answer:
        trail = self._tagged(ResourceId)
        for key in _tags(TagsList):
            trail.tags.pop(key, None)
        return {}

    def list_tags(self, ResourceIdList: list[str], NextToken: str | None = None) -> Answer:
        found = [
            {
                "ResourceId": arn,
                "TagsList": [
                    {"Key": key, "Value": value} for key, value in self._tagged(arn).tags.items()
                ],
            }
            for arn in ResourceIdList
        ]
        return {"ResourceTagList": found}

    # what they share

    def _set(self, trail: Trail, given: Answer) -> None:
        """Change settings of a trail, if CloudTrail can deliver then."""
        for name in ("SnsTopicName", "KmsKeyId"):
            if given.get(name):
                raise _unsupported(name)
        if given.get("IsOrganizationTrail"):
            raise _unsupported("IsOrganizationTrail")
        if "EnableLogFileValidation" in given:
            trail.settings["LogFileValidationEnabled"] = given["EnableLogFileValidation"]
        kept = ("S3BucketName", "S3KeyPrefix", "IncludeGlobalServiceEvents", "IsMultiRegionTrail", _LOG_GROUP, _ROLE)  # fmt: skip
        for name in kept:
            if given.get(name) == "":
                trail.settings.pop(name, None)
            elif name in given:
                trail.settings[name] = given[name]
        if state.of_bucket(trail.bucket) is None:
            message = f"S3 bucket {trail.bucket} does not exist!"
            raise AWSError("S3BucketDoesNotExistException", message)
        delivery.check_bucket(trail)
        self._check_log_group(trail)

    def _check_log_group(self, trail: Trail) -> None:
        group, role = trail.settings.get(_LOG_GROUP), trail.settings.get(_ROLE)
        if group is None and role is None:
            return
        if group is None or role is None:
            message = "You must specify both a log group and a role."
            raise AWSError("InvalidParameterCombinationException", message)
        found = state.parsed(group)
        name = found.resource.split(":")[1] if found and group.endswith(":*") else None
        known = state.backend("logs", self.current_account, self.region)
        if name not in getattr(known, "groups", {}):
            message = "CloudTrail cannot validate the specified log group ARN."
            raise AWSError("InvalidCloudWatchLogsLogGroupArnException", message)
        delivery.check_log_group(trail)

    def _stop(self, trail: Trail) -> None:
        with trail.lock:
            if not trail.logging:
                return
            trail.logging = False
            trail.status["StopLoggingTime"] = datetime.now(UTC).replace(microsecond=0)
        delivery.deliveries.end(trail)

    def _tagged(self, arn: str) -> Trail:
        if ":trail/" not in arn:
            raise AWSError("CloudTrailARNInvalidException", f"{arn} is not the ARN of a trail")
        return self.backend.trail(arn)


def _told(trail: Trail) -> Answer:
    """What CreateTrail and UpdateTrail answer."""
    return {"Name": trail.name, "TrailARN": trail.arn, **trail.settings}


def _unsupported(member: str) -> AWSError:
    message = f"The lab's local AWS does not support {member} of a trail (nothing was done)."
    return AWSError("UnsupportedOperationException", message)


def _tags(given: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in given or []}


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
