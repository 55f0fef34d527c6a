"""Runs the balancer's process, gives it the routing table, and takes its reports.

The process is started with the first listener, started again when it has died, and ends with the
lab. Whoever changes a load balancer waits until the change is in force.

AWS page: "CloudWatch metrics for your Application Load Balancer".
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

from labkit.cloud.compute.balancer import routes
from labkit.cloud.guests import settings
from labkit.cloud.shared import metrics, runtime, threads

logger = logging.getLogger(__name__)

ELB = "elasticloadbalancing.amazonaws.com"
NAMESPACE = "AWS/ApplicationELB"
APPLY_SECONDS = 10.0
MOST_VALUES = 150  # of one datum: PutMetricData
_STATUSES = ("2XX", "3XX", "4XX", "5XX")

Health = tuple[str, str, str]  # state, reason, description


class Control:
    """The balancer of this lab."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._applied = 0
        self._problems: dict[str, str] = {}
        self._health: dict[tuple[str, str], Health] = {}
        self.table: routes.Table = {"listeners": {}, "groups": {}}  # the one in force

    def apply(self) -> dict[str, str]:
        """Make what is declared now the routing table in force.

        Returns the listeners, by ARN, whose port could not be listened on, and why.
        """
        with self._lock:
            self.table = table = routes.table()
            if self._process is None and not table["listeners"]:
                return {}
            self._forget_health(table)
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._number += 1
            number = self._number
            self._send(number, table)
        with self._changed:
            if not self._changed.wait_for(lambda: self._applied >= number, APPLY_SECONDS):
                logger.error("the balancer has not applied table %s", number)
            return dict(self._problems)

    def health(self, group_arn: str, target: str) -> Health | None:
        """The last known health of a target; None before its first check has been decided."""
        return self._health.get((group_arn, target))

    def is_used(self, group_arn: str) -> bool:
        """Whether a listener may send requests to this target group."""
        return bool(self.table["groups"].get(group_arn, {}).get("used"))

    def counts_of_health(self, group_arn: str, targets: list[str]) -> tuple[int, int]:
        """How many of the targets are healthy, and how many are not."""
        states = [self._health.get((group_arn, one), ("initial", "", ""))[0] for one in targets]
        return states.count("healthy"), states.count("unhealthy")

    def _forget_health(self, table: routes.Table) -> None:
        for arn, key in list(self._health):
            group = table["groups"].get(arn)
            if group is None or not group["used"] or key not in group["targets"]:
                self._health.pop((arn, key), None)

    def _start(self) -> None:
        lab = runtime.current()
        with self._changed:
            self._health.clear()
        self._process = lab.processes.start(
            [sys.executable, "-m", "labkit.cloud.compute.balancer.proxy"],
            owner="balancer",
            env=settings.environment(),
            cwd=lab.state_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        listen = partial(self._listen, self._process)
        threads.start(listen, name="balancer", failed=threads.logged)

    def _send(self, number: int, table: routes.Table) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(
                json.dumps({"number": number, "table": table}).encode() + b"\n"
            )
            self._process.stdin.flush()
        except OSError as error:
            logger.error("the balancer's process is gone: %s", error)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            take = partial(self._take, line)
            threads.attempt(take, name="balancer's report", failed=threads.logged)
        process.wait()
        logger.error("the balancer's process has ended with status %s", process.returncode)
        time.sleep(0.2)  # one that dies at once is not started in a circle
        if self._process is process:
            self.apply()

    def _take(self, line: bytes) -> None:
        told: dict[str, Any] = json.loads(line)
        if "applied" in told:
            with self._changed:
                self._applied, self._problems = told["applied"], told["problems"]
                self._changed.notify_all()
        elif "health" in told:
            group, target, *health = told["health"]
            self._health[group, target] = tuple(health)
            logger.info("target %s of %s is %s", target, group, health[0])
        else:
            for counted in told["counts"]:
                publish(counted)


def publish(counted: dict[str, Any]) -> None:
    """Put the metrics of one report: one load balancer, and one of its target groups if chosen."""
    balancer = [{"Name": "LoadBalancer", "Value": counted["balancer"]}]
    group = [{"Name": "TargetGroup", "Value": counted["group"]}] if counted["group"] else []
    data: list[dict[str, Any]] = []
    for dimensions in [[*group, *balancer], balancer] if group else [balancer]:
        data += [{**metric, "Dimensions": dimensions} for metric in _metrics(counted)]
    metrics.put(ELB, NAMESPACE, data, runtime.current().region)


def _metrics(counted: dict[str, Any]) -> list[dict[str, Any]]:
    named = {"requests": "RequestCount", "elb_5XX": "HTTPCode_ELB_5XX_Count"}
    named |= {one: f"HTTPCode_Target_{one}_Count" for one in _STATUSES}
    data: list[dict[str, Any]] = [
        {"MetricName": name, "Value": counted[key], "Unit": "Count"}
        for key, name in named.items()
        if counted.get(key)
    ]
    times = counted["times"]
    for start in range(0, len(times), MOST_VALUES):
        values, counts = zip(*times[start : start + MOST_VALUES], strict=True)
        told = {"Values": values, "Counts": counts, "Unit": "Seconds"}
        data.append({"MetricName": "TargetResponseTime", **told})
    return data


def publish_health(control: Control) -> None:
    """Put HealthyHostCount and UnHealthyHostCount of every target group that is used."""
    table = control.table
    data: list[dict[str, Any]] = []
    for listener in table["listeners"].values():
        actions = [action for rule in listener["rules"] for action in rule["actions"]]
        for arn in {arn for action in actions for arn, _ in routes.forwards(action)}:
            group = table["groups"].get(arn)
            if group is None:
                continue
            counts = control.counts_of_health(arn, list(group["targets"]))
            dimensions = [
                {"Name": "TargetGroup", "Value": group["name"]},
                {"Name": "LoadBalancer", "Value": listener["balancer"]},
            ]
            for name, value in zip(("HealthyHostCount", "UnHealthyHostCount"), counts, strict=True):
                data.append(
                    {
                        "MetricName": name,
                        "Value": float(value),
                        "Unit": "Count",
                        "Dimensions": dimensions,
                    }
                )
    metrics.put(ELB, NAMESPACE, data, runtime.current().region)
