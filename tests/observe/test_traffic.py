"""Load asks a site at a steady rate, and says what each request got."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from labkit import observe
from tests.cloud.balancers import Site
from tests.waiting import eventually


def test_every_request_is_noted_with_its_version_and_user() -> None:
    site = Site("7")
    with observe.Load(f"http://127.0.0.1:{site.port}/", per_second=200) as load:
        eventually(lambda: len(load.rows) > 40)
        site.status = 500
        eventually(lambda: any(row[1] == 500 for row in load.rows))
    site.close()
    seen = load.requests
    assert set(seen["version"]) == {"7", "error"}
    assert list(seen["user"][:3]) == [0, 1, 2]
    assert seen["at"].is_monotonic_increasing
    summary = observe.traffic_summary(seen)
    assert summary["requests"] == len(seen)
    assert summary["failed"] == (seen["version"] == "error").sum() > 0


def test_a_site_that_does_not_answer_is_an_error_too() -> None:
    site = Site("1")
    site.close()
    with observe.Load(f"http://127.0.0.1:{site.port}/") as load:
        eventually(lambda: len(load.rows) > 3)
    assert set(load.requests["status"]) == {0}
    assert set(load.requests["version"]) == {"error"}


def test_the_rate_is_kept() -> None:
    site = Site("1")
    started = datetime.now(UTC)
    with observe.Load(f"http://127.0.0.1:{site.port}/", per_second=50) as load:
        eventually(lambda: len(load.rows) > 50)
    site.close()
    assert load.requests["at"].iloc[50] - started >= timedelta(seconds=0.95)


def test_the_shares_are_looked_at_meanwhile() -> None:
    site, shares = Site("1"), {"blue": 100.0}
    url = f"http://127.0.0.1:{site.port}/"
    with observe.Load(url, shares=lambda: dict(shares)) as load:
        eventually(lambda: len(load.rows) > 3 and len(load.looks) > 1)
        shares.update(blue=90.0, green=10.0)
        eventually(lambda: any("green" in seen for _, seen in load.looks))
        shares.update(blue=0.0, green=100.0)
    site.close()
    seen = load.weights
    assert seen.iloc[0].to_dict() == {"blue": 100.0, "green": 0.0}
    assert seen.iloc[-1].to_dict() == {"blue": 0.0, "green": 100.0}
    chart = observe.chart_traffic(load.requests, weights=seen)
    assert "the last shares: blue 0 %, green 100 %" in chart.alt
    assert "blue: 100 → 90 → 0 %" in chart.html


def test_shares_that_cannot_be_read_are_told() -> None:
    site = Site("1")

    def broken() -> dict[str, float]:
        raise LookupError("no such listener")

    with (
        pytest.raises(LookupError, match="no such listener"),
        observe.Load(f"http://127.0.0.1:{site.port}/", shares=broken),
    ):
        pass
    site.close()
