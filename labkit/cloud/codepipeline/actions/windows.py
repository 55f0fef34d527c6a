"""Deployment windows: Quartz cron expressions as the DeploymentWindow rule takes them.

cronsim knows the calendar; what is Quartz's own is rewritten for it: the leading seconds, weekdays
that count from SUN = 1, and a year at the end. AWS page: "DeploymentWindow".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MOST_OPENINGS = 3000  # looked at for one in a year of the expression
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Window:
    """The minutes at which a deployment may begin."""

    cron: str  # minute hour day-of-month month day-of-week
    years: frozenset[int]  # empty for every year
    zone: tzinfo

    @classmethod
    def of(cls, expression: str, zone: str) -> Window:
        """Read an expression of 6 or 7 fields.

        Args:
            zone: Region/City, an abbreviation, or UTC with an offset (`UTC+02:00`).

        Raises:
            ValueError: what is not understood, and why.
        """
        fields = expression.split()
        if len(fields) not in (6, 7):
            raise ValueError(f"Cron must have 6 or 7 fields, it has {len(fields)}: {expression}")
        if fields[0] not in ("*", "0"):
            raise ValueError(f"The seconds field of Cron must be * or 0: {expression}")
        minute, hour, day, month, weekday = (field.upper() for field in fields[1:6])
        cron = " ".join([minute, hour, day.replace("?", "*"), month, _weekday(weekday)])
        try:
            CronSim(cron, datetime.now())
        except CronSimError as error:
            raise ValueError(f"Cron is not valid: {expression} ({error})") from error
        return cls(cron, _years(fields[6] if len(fields) == 7 else "*"), _zone(zone))

    def opens(self, moment: datetime) -> datetime | None:
        """When the window is next open, in UTC: `moment` itself if it is; None if never again."""
        begin = moment.astimezone(self.zone).replace(second=0, microsecond=0)
        try:
            for number, opening in enumerate(CronSim(self.cron, begin - _MINUTE)):
                if not self.years or opening.year in self.years:
                    return max(opening.astimezone(UTC), moment)
                if number > _MOST_OPENINGS or opening.year > max(self.years):
                    return None
        except CronSimError:
            return None
        return None


def _weekday(field: str) -> str:
    def named(match: re.Match[str]) -> str:
        number = int(match[0])
        if not 1 <= number <= 7:
            raise ValueError(f"The day of the week must be 1-7 or SUN-SAT: {field}")
        return _DAYS[number - 1]

    field = "SAT" if field == "L" else field.replace("?", "*")
    base, sign, rest = re.match(r"([^#/]*)([#/]?)(.*)", field).groups()  # type: ignore[union-attr]
    day = re.sub(r"\d+", named, base)
    # cronsim takes numbers, counted from 0, before `L` and `#`
    if day.endswith("L") or sign == "#":
        day = re.sub(r"[A-Z]{3}", lambda match: str(_DAYS.index(match[0])), day)
    return day + sign + rest


def _years(field: str) -> frozenset[int]:
    if field in ("*", "?"):
        return frozenset()
    found: set[int] = set()
    for part in field.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"The year of Cron is not understood: {field}")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _zone(name: str) -> tzinfo:
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})", name)
    if offset:
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"TimeZone {name} is not known") from error
