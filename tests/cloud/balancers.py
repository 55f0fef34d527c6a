"""Load balancers that a test makes, and sites behind them that answer with their name."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from tests.conftest import Aws
from tests.waiting import eventually


class Site:
    """An application on a port of its own; it answers with its name."""

    def __init__(self, name: str) -> None:
        self.name, self.status, self.seconds = name, 200, 0.0
        self.heads: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}  # of its answers
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one packet

            def do_GET(self) -> None:
                if "ELB-HealthChecker" not in self.headers.get("User-Agent", ""):
                    site.heads.append(dict(self.headers))
                    time.sleep(site.seconds)
                body = site.name.encode() if self.path != "/big" else b"x" * 3_000_000
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(body)))
                for header in site.headers.items():
                    self.send_header(*header)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Balancer:
    """One load balancer and what a test makes of it."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.elb = aws, aws.client("elbv2")
        self.name = f"t-{uuid4().hex[:10]}"
        ec2 = aws.client("ec2")
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        made = self.elb.create_load_balancer(Name=self.name, Subnets=subnets)
        self.arn = made["LoadBalancers"][0]["LoadBalancerArn"]
        self.sites: list[Site] = []

    def site(self, name: str) -> Site:
        self.sites.append(Site(name))
        return self.sites[-1]

    def group(self, *sites: Site, **settings: Any) -> str:
        made = self.elb.create_target_group(
            Name=f"t-{uuid4().hex[:10]}",
            Protocol="HTTP",
            Port=80,
            VpcId=self.vpc,
            **{
                "TargetType": "ip",
                "HealthCheckIntervalSeconds": 6,
                "HealthyThresholdCount": 2,
                **settings,
            },
        )
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        if sites:
            self.register(arn, *sites)
        return arn

    def register(self, group: str, *sites: Site) -> None:
        self.elb.register_targets(TargetGroupArn=group, Targets=_targets(sites))

    def deregister(self, group: str, *sites: Site) -> None:
        self.elb.deregister_targets(TargetGroupArn=group, Targets=_targets(sites))

    def listen(self, *actions: dict[str, Any]) -> str:
        made = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=80, DefaultActions=list(actions)
        )
        self.listener = made["Listeners"][0]["ListenerArn"]
        [described] = self.elb.describe_tags(ResourceArns=[self.listener])["TagDescriptions"]
        tags = {one["Key"]: one["Value"] for one in described["Tags"]}
        self.url = f"http://localhost:{tags['labkit:port']}"
        return self.url

    def health(self, group: str) -> dict[int, dict[str, str]]:
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Port"]: one["TargetHealth"] for one in found}

    def states(self, group: str) -> set[str]:
        return {one["State"] for one in self.health(group).values()}

    def wait_healthy(self, *groups: str) -> None:
        eventually(lambda: all(self.states(group) == {"healthy"} for group in groups))


def _targets(sites: tuple[Site, ...]) -> list[dict[str, Any]]:
    return [{"Id": "127.0.0.1", "Port": site.port} for site in sites]


def to(*groups: str, weights: tuple[int, ...] = ()) -> dict[str, Any]:
    weights = weights or (1,) * len(groups)
    shares = [
        {"TargetGroupArn": one, "Weight": weight}
        for one, weight in zip(groups, weights, strict=True)
    ]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
