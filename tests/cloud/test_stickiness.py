"""Sticky sessions: a cookie of the balancer binds a client to a target, or to a target group.

Durations pass on the scaled clock: 60 s are a second of the lab. Pages, where a test names no other:
"Sticky sessions for your Application Load Balancer".
"""

from __future__ import annotations

import http.client
from collections import Counter
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.balancers import Balancer, to
from tests.waiting import eventually

pytestmark = pytest.mark.slow


class Browser:
    """A client that keeps its cookies, whatever their attributes say."""

    def __init__(self, url: str) -> None:
        self.address = url.removeprefix("http://")
        self.cookies: dict[str, Morsel[str]] = {}

    def get(self, path: str = "/") -> str:
        connection = http.client.HTTPConnection(self.address)
        sent = "; ".join(f"{name}={one.value}" for name, one in self.cookies.items())
        connection.request("GET", path, headers={"Cookie": sent} if sent else {})
        answer = connection.getresponse()
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.update(SimpleCookie(header))
        body = answer.read().decode()
        connection.close()
        return body

    def seen(self, times: int = 6) -> set[str]:
        return {self.get() for _ in range(times)}


def stick(balancer: Balancer, group: str, seconds: int = 3600, **more: str) -> None:
    kind = more.get("type", "lb_cookie")
    settings = {"enabled": "true", f"{kind}.duration_seconds": str(seconds), **more}
    balancer.elb.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[{"Key": f"stickiness.{key}", "Value": one} for key, one in settings.items()],
    )


def by_group(*groups: str, weights: tuple[int, ...] = (), seconds: int = 3600) -> dict[str, Any]:
    """A forward action that keeps a client with its target group."""
    action = to(*groups, weights=weights)
    config = {"Enabled": True, "DurationSeconds": seconds}
    action["ForwardConfig"]["TargetGroupStickinessConfig"] = config
    return action


@pytest.fixture
def pair(balancer: Balancer) -> str:
    """A target group of two sites behind a listener."""
    group = balancer.group(balancer.site("first"), balancer.site("second"))
    balancer.listen(to(group))
    balancer.wait_healthy(group)
    return group


def test_a_client_with_the_cookie_stays_with_its_target(balancer: Balancer, pair: str) -> None:
    stick(balancer, pair)
    browsers = [Browser(balancer.url) for _ in range(4)]
    first = [browser.get() for browser in browsers]
    assert Counter(first) == {"first": 2, "second": 2}
    assert [browser.seen() for browser in browsers] == [{name} for name in first]


def test_the_cookie_is_opaque_kept_seven_days_and_has_a_twin_for_cors(
    balancer: Balancer, pair: str
) -> None:
    stick(balancer, pair, seconds=60)
    browser = Browser(balancer.url)
    browser.get()
    own, cors = browser.cookies["AWSALB"], browser.cookies["AWSALBCORS"]
    assert own.value == cors.value and "127.0.0.1" not in own.value
    assert own["expires"] and not own["max-age"] and own["path"] == "/"
    assert not own["samesite"] and (cors["samesite"], cors["secure"]) == ("None", True)


def test_without_the_cookie_targets_take_turns(balancer: Balancer, pair: str) -> None:
    stick(balancer, pair)
    assert {Browser(balancer.url).get() for _ in range(4)} == {"first", "second"}


def test_the_duration_counts_from_the_last_answer_and_then_ends(
    balancer: Balancer, pair: str
) -> None:
    stick(balancer, pair, seconds=30)
    browser = Browser(balancer.url)
    name = browser.get()
    assert {browser.get() for _ in range(20)} == {name}
    forgotten = dict(browser.cookies)

    def with_the_old_cookie() -> str:
        browser.cookies = dict(forgotten)
        return browser.get()

    eventually(lambda: with_the_old_cookie() != name)


def test_a_target_that_cannot_be_had_is_replaced_and_so_is_the_cookie(
    balancer: Balancer, pair: str
) -> None:
    stick(balancer, pair)
    browser = Browser(balancer.url)
    name = browser.get()
    sites = {site.name: site for site in balancer.sites}
    [other] = set(sites) - {name}
    sites[name].status = 500
    eventually(lambda: "unhealthy" in balancer.states(pair))
    assert browser.seen() == {other}
    sites[name].status = 200
    balancer.wait_healthy(pair)
    assert browser.seen() == {other}
    balancer.deregister(pair, sites[other])
    assert browser.seen() == {name}


def test_a_cookie_that_cannot_be_read_binds_to_nothing(balancer: Balancer, pair: str) -> None:
    stick(balancer, pair)
    browser = Browser(balancer.url)
    seen = set()
    for _ in range(4):
        browser.cookies = SimpleCookie("AWSALB=made-up")  # type: ignore[assignment]
        seen.add(browser.get())
    assert seen == {"first", "second"}


def test_an_application_binds_by_a_cookie_of_its_own(balancer: Balancer, pair: str) -> None:
    """AWSALBAPP comes with the application's cookie, and both are needed to stay."""
    stick(balancer, pair, type="app_cookie", **{"app_cookie.cookie_name": "session"})
    browser = Browser(balancer.url)
    assert browser.seen(2) == {"first", "second"} and not browser.cookies
    for site in balancer.sites:
        site.headers["Set-Cookie"] = "session=s1; Path=/"
    name = browser.get()
    assert set(browser.cookies) == {"session", "AWSALBAPP"}
    for site in balancer.sites:
        site.headers.clear()
    assert browser.seen() == {name}
    del browser.cookies["session"]
    assert browser.seen() == {"first", "second"}


def test_a_client_stays_with_its_target_group(balancer: Balancer) -> None:
    """Page: "Listeners for your Application Load Balancers", forward actions."""
    blue, green = balancer.group(balancer.site("blue")), balancer.group(balancer.site("green"))
    url = balancer.listen(by_group(blue, green))
    balancer.wait_healthy(blue, green)
    browsers = [Browser(url) for _ in range(20)]
    first = [browser.get() for browser in browsers]
    assert set(first) == {"blue", "green"}
    assert [browser.seen(3) for browser in browsers] == [{name} for name in first]
    assert set(browsers[0].cookies) == {"AWSALBTG", "AWSALBTGCORS"}


def test_weights_are_for_clients_without_the_cookie(balancer: Balancer) -> None:
    """Page: "Listeners for your Application Load Balancers", forward actions."""
    blue, green = balancer.group(balancer.site("blue")), balancer.group(balancer.site("green"))
    url = balancer.listen(by_group(blue, green, weights=(100, 0)))
    balancer.wait_healthy(blue, green)
    old, new = Browser(url), Browser(url)
    assert old.get() == "blue"
    action = by_group(blue, green, weights=(0, 100))
    balancer.elb.modify_listener(ListenerArn=balancer.listener, DefaultActions=[action])
    assert (old.seen(), new.seen()) == ({"blue"}, {"green"})
    balancer.elb.modify_listener(ListenerArn=balancer.listener, DefaultActions=[to(green)])
    assert old.seen() == {"green"}


def test_both_cookies_go_together(balancer: Balancer) -> None:
    groups = [balancer.group(*(balancer.site(f"{c}{n}") for n in "12")) for c in ("blue", "green")]
    url = balancer.listen(by_group(*groups))
    balancer.wait_healthy(*groups)
    for group in groups:
        stick(balancer, group)
    browser = Browser(url)
    assert browser.seen() == {browser.get()}
    assert {"AWSALB", "AWSALBTG"} <= set(browser.cookies)


def test_sticky_target_groups_want_a_sticky_rule(balancer: Balancer) -> None:
    """It is refused in either order."""
    blue, green = balancer.group(), balancer.group()
    balancer.listen(to(blue, green))
    told = "must enable group stickiness on a rule"
    with pytest.raises(ClientError, match=told):
        stick(balancer, blue)
    balancer.elb.modify_listener(ListenerArn=balancer.listener, DefaultActions=[to(blue)])
    stick(balancer, blue)
    with pytest.raises(ClientError, match=told):
        balancer.elb.modify_listener(
            ListenerArn=balancer.listener, DefaultActions=[to(blue, green)]
        )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seconds": 0}, "between 1 and 604800"),
        ({"seconds": 604801}, "between 1 and 604800"),
        ({"type": "app_cookie"}, "must set an application cookie name"),
        ({"type": "app_cookie", "app_cookie.cookie_name": "AWSALBTG"}, "reserved"),
        ({"type": "source_ip"}, "source_ip"),
    ],
)
def test_settings_that_are_refused(balancer: Balancer, settings: Any, told: str) -> None:
    """Page: "TargetGroupAttribute" in the Elastic Load Balancing API Reference."""
    group = balancer.group()
    with pytest.raises(ClientError, match=told):
        stick(balancer, group, **settings)


def test_a_duration_has_to_be_told_for_a_sticky_rule(balancer: Balancer) -> None:
    """Page: "TargetGroupStickinessConfig" in the Elastic Load Balancing API Reference."""
    with pytest.raises(ClientError, match="between 1 and 604800"):
        balancer.listen(by_group(balancer.group(), seconds=0))
