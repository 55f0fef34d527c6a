"""A listener of ELBv2 is a real one: by weight, by rule, by health, and without a dropped request."""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.cloud.balancers import Balancer, get, to
from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def test_targets_of_a_group_take_turns_and_see_who_asked(balancer: Balancer) -> None:
    first, second = balancer.site("first"), balancer.site("second")
    group = balancer.group(first, second)
    assert balancer.health(group)[first.port]["Reason"] == "Target.NotInUse"
    url = balancer.listen(to(group))
    balancer.wait_healthy(group)
    assert Counter(get(f"{url}/")[1] for _ in range(20)) == {"first": 10, "second": 10}
    head = first.heads[-1]
    assert head["X-Forwarded-For"] == "127.0.0.1"
    assert head["X-Forwarded-Port"] == "80"


def test_traffic_follows_the_weights(balancer: Balancer) -> None:
    blue, green = balancer.group(balancer.site("blue")), balancer.group(balancer.site("green"))
    url = balancer.listen(to(blue, green, weights=(90, 10)))
    balancer.wait_healthy(blue, green)

    def some(count: int) -> list[str]:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        bodies = []
        for _ in range(count):
            connection.request("GET", "/")
            bodies.append(connection.getresponse().read().decode())
        return bodies

    with ThreadPoolExecutor(4) as pool:
        seen = Counter(body for part in pool.map(some, [500] * 4) for body in part)
    # the 99.99 % interval of the binomial distribution
    assert abs(seen["green"] - 200) < 3.9 * math.sqrt(2000 * 0.1 * 0.9), seen
    modified = balancer.elb.modify_listener(
        ListenerArn=balancer.listener, DefaultActions=[to(blue, green, weights=(0, 100))]
    )
    assert modified["Listeners"]
    assert set(some(50)) == {"green"}


def test_no_request_is_dropped_while_targets_come_and_go(balancer: Balancer) -> None:
    sites = [balancer.site(f"site {number}") for number in range(3)]
    for site in sites:
        site.seconds = 0.005
    group = balancer.group(sites[0])
    url = balancer.listen(to(group))
    balancer.wait_healthy(group)
    over = threading.Event()

    def ask() -> Counter[int]:
        seen: Counter[int] = Counter()
        while not over.is_set():
            seen[get(f"{url}/")[0]] += 1
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for number in range(15):
            old, new = sites[number % 3], sites[(number + 1) % 3]
            balancer.register(group, new)
            eventually(lambda new=new: balancer.health(group)[new.port]["State"] == "healthy")
            balancer.deregister(group, old)
        over.set()
    seen = sum((one.result() for one in asking), Counter())
    assert set(seen) == {200} and seen[200] > 100, seen


def test_health_is_what_the_checks_found(balancer: Balancer) -> None:
    good, bad = balancer.site("good"), balancer.site("bad")
    bad.status = 500
    group = balancer.group(good, bad)
    url = balancer.listen(to(group))
    states = {good.port: "healthy", bad.port: "unhealthy"}
    eventually(lambda: {p: h["State"] for p, h in balancer.health(group).items()} == states)
    told = balancer.health(group)[bad.port]
    assert told["Reason"] == "Target.ResponseCodeMismatch"
    assert told["Description"] == "Health checks failed with these codes: [500]"
    assert {get(f"{url}/")[1] for _ in range(10)} == {"good"}
    bad.status = 200
    balancer.wait_healthy(group)
    good.close()
    eventually(
        lambda: balancer.health(group)[good.port].get("Reason") == "Target.FailedHealthChecks"
    )
    assert {get(f"{url}/")[1] for _ in range(6)} == {"bad"}


def test_a_deregistered_target_drains_for_the_delay(balancer: Balancer) -> None:
    site, slow = balancer.site("site"), balancer.site("slow")
    group = balancer.group(site, slow)
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}]
    balancer.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    url = balancer.listen(to(group))
    balancer.wait_healthy(group)
    slow.seconds = 0.5
    with ThreadPoolExecutor(2) as pool:
        under_way = [pool.submit(get, f"{url}/") for _ in range(2)]
        eventually(lambda: any(slow.heads))
        balancer.deregister(group, slow)
        assert balancer.health(group)[slow.port]["State"] == "draining"
        assert get(f"{url}/") == (200, "site")
        assert {one.result()[1] for one in under_way} == {"site", "slow"}
    eventually(lambda: slow.port not in balancer.health(group))


def test_without_a_target_that_answers_the_balancer_does(balancer: Balancer) -> None:
    group = balancer.group()
    url = balancer.listen(to(group))
    status, page = get(f"{url}/")
    assert status == 503 and "503 Service Temporarily Unavailable" in page
    site = balancer.site("gone")
    site.close()
    balancer.register(group, site)
    assert get(f"{url}/")[0] == 502


def test_rules_choose_by_path_host_header_method_and_query(balancer: Balancer) -> None:
    site = balancer.group(balancer.site("site"))
    api = balancer.group(balancer.site("api"))
    url = balancer.listen(to(site))
    fixed = {"StatusCode": "404", "MessageBody": "nothing here", "ContentType": "text/plain"}
    moved = {"StatusCode": "HTTP_301", "Path": "/new/#{path}"}
    rules: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"Field": "path-pattern", "Values": ["/api/*"]}, to(api)),
        ({"Field": "host-header", "Values": ["api.*"]}, to(api)),
        (
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["POST"]}},
            to(api),
        ),
        (
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-Beta", "Values": ["yes"]},
            },
            to(api),
        ),
        (
            {
                "Field": "query-string",
                "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]},
            },
            to(api),
        ),
        (
            {"Field": "path-pattern", "Values": ["/nothing"]},
            {"Type": "fixed-response", "FixedResponseConfig": fixed},
        ),
        (
            {"Field": "path-pattern", "Values": ["/old"]},
            {"Type": "redirect", "RedirectConfig": moved},
        ),
    ]
    for number, (condition, action) in enumerate(rules, start=1):
        balancer.elb.create_rule(
            ListenerArn=balancer.listener,
            Priority=number,
            Conditions=[condition],
            Actions=[action],
        )
    balancer.wait_healthy(site, api)
    assert get(f"{url}/")[1] == "site"
    assert get(f"{url}/api/users")[1] == "api"
    assert get(f"{url}/", Host="api.example.com")[1] == "api"
    assert get(f"{url}/", **{"X-Beta": "yes"})[1] == "api"
    assert get(f"{url}/?v=2")[1] == "api"
    assert get(f"{url}/nothing") == (404, "nothing here")
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/old?a=1")
    answer = connection.getresponse()
    assert answer.status == 301
    assert answer.headers["Location"] == "http://localhost:80/new/old?a=1"


def test_bodies_of_any_size_pass(balancer: Balancer) -> None:
    url = balancer.listen(to(group := balancer.group(balancer.site("site"))))
    balancer.wait_healthy(group)
    body = os.urandom(2_000_000)
    with urllib.request.urlopen(f"{url}/", data=body) as answer:
        assert (answer.status, answer.read()) == (201, body)
    assert len(get(f"{url}/big")[1]) == 3_000_000
    with urllib.request.urlopen(urllib.request.Request(f"{url}/", method="HEAD")) as answer:
        assert answer.headers["Content-Length"] == "4"


def test_what_was_asked_is_in_cloudwatch(balancer: Balancer) -> None:
    site = balancer.site("site")
    url = balancer.listen(to(group := balancer.group(site)))
    balancer.wait_healthy(group)
    for status, count in ((200, 5), (500, 3)):
        site.status = status
        for _ in range(count):
            get(f"{url}/")
    cloudwatch = balancer.aws.client("cloudwatch")
    dimension = {"Name": "LoadBalancer", "Value": balancer.arn.split("loadbalancer/")[1]}

    def total(name: str) -> float:
        now = time.time()
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=name,
            Dimensions=[dimension],
            StartTime=now - 300,
            EndTime=now + 60,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    eventually(lambda: total("RequestCount") == 8)
    assert total("HTTPCode_Target_2XX_Count") == 5
    assert total("HTTPCode_Target_5XX_Count") == 3
    assert 0 < total("TargetResponseTime") < 8


def test_a_balancer_that_was_killed_is_there_again(balancer: Balancer) -> None:
    url = balancer.listen(to(group := balancer.group(balancer.site("site"))))
    balancer.wait_healthy(group)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = process.environ().get("LABKIT_LAB") == str(balancer.aws.state_dir)
            if mine and process.environ().get("LABKIT_OWNER") == "balancer":
                process.send_signal(signal.SIGKILL)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return get(f"{url}/") == (200, "site")
        return False

    eventually(answers)


def test_a_host_is_reached_at_its_port_and_not_when_it_is_stopped(balancer: Balancer) -> None:
    ec2 = balancer.aws.client("ec2")
    [instance] = ec2.run_instances(ImageId=balancer.aws.image, MinCount=1, MaxCount=1)["Instances"]
    host = instance["InstanceId"]
    group = balancer.group(TargetType="instance")
    balancer.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": host}])
    url = balancer.listen(to(group))
    assert get(f"{url}/")[0] == 502
    eventually(lambda: balancer.states(group) == {"unhealthy"})
    ec2.stop_instances(InstanceIds=[host])
    assert balancer.health(group)[80]["Reason"] == "Target.InvalidState"
    assert get(f"{url}/")[0] == 503
    ec2.terminate_instances(InstanceIds=[host])
    assert balancer.health(group) == {}


@pytest.mark.parametrize(
    ("operation", "given", "names"),
    [
        ("create_load_balancer", {"Type": "network"}, "load balancers of type network"),
        ("create_target_group", {"TargetType": "lambda"}, "targets of type lambda"),
        ("create_target_group", {"Protocol": "TCP", "Port": 1}, "target groups of protocol TCP"),
    ],
)
def test_what_the_balancer_does_not_have_is_refused(
    aws: Aws, operation: str, given: dict[str, Any], names: str
) -> None:
    with pytest.raises(ClientError, match=names):
        getattr(aws.client("elbv2"), operation)(Name=f"t-{uuid4().hex[:8]}", **given)


def test_an_address_that_is_not_of_this_machine_is_refused(balancer: Balancer) -> None:
    with pytest.raises(ClientError, match="loopback addresses only"):
        balancer.elb.register_targets(
            TargetGroupArn=balancer.group(), Targets=[{"Id": "10.0.0.7", "Port": 80}]
        )
