"""Reads AWS back: what was built, released and deployed, when, and at what price.

Frames (pandas) come from the services' own history operations; a chart is drawn from a frame.
`waiting` asks until something is over; `snapshot` is one execution at one moment; `audit` asks
CloudTrail who did what, and what a role was granted and used.
"""

import pandas as pd

from labkit.observe import audit
from labkit.observe.builds import (
    batch_builds,
    build_phases,
    builds,
    chart_build_phases,
    failed_phases,
    phase_grid,
    reported_tests,
)
from labkit.observe.charts import Chart, chart_times
from labkit.observe.costs import chart_costs, costs, estimate, prices, usage
from labkit.observe.deployments import chart_deployments, deployment_outcomes, lifecycle_events
from labkit.observe.executions import actions, chart_race, chart_timeline, executions
from labkit.observe.invocations import Invocations, alias_shares
from labkit.observe.routing import shares
from labkit.observe.snapshot import Snapshot, snapshot
from labkit.observe.traffic import Load, traffic_summary
from labkit.observe.traffic_chart import chart_traffic
from labkit.observe.waiting import (
    execution_of,
    latest_execution,
    wait_for_alarm,
    wait_for_batch,
    wait_for_build,
    wait_for_deployment,
    wait_for_execution,
    wait_for_rollback,
)

# a command's "$" in a frame begins no formula (see labkit.markup)
pd.set_option("display.html.use_mathjax", False)

__all__ = [
    "Chart",
    "Invocations",
    "Load",
    "Snapshot",
    "actions",
    "alias_shares",
    "audit",
    "batch_builds",
    "build_phases",
    "builds",
    "chart_build_phases",
    "chart_costs",
    "chart_deployments",
    "chart_race",
    "chart_timeline",
    "chart_times",
    "chart_traffic",
    "costs",
    "deployment_outcomes",
    "estimate",
    "execution_of",
    "executions",
    "failed_phases",
    "latest_execution",
    "lifecycle_events",
    "phase_grid",
    "prices",
    "reported_tests",
    "shares",
    "snapshot",
    "traffic_summary",
    "usage",
    "wait_for_alarm",
    "wait_for_batch",
    "wait_for_build",
    "wait_for_deployment",
    "wait_for_execution",
    "wait_for_rollback",
]
