"""What a service tells CloudWatch of itself, as itself.

AWS page: "PutMetricData" in the Amazon CloudWatch API Reference.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.shared import clients

_MOST_DATA = 1000  # of one call

logger = logging.getLogger(__name__)


def put(
    service: str,
    namespace: str,
    data: Sequence[dict[str, Any]],
    region: str,
    account_id: str | None = None,
) -> None:
    """Put metric data; what CloudWatch refuses is logged, and nothing is raised.

    Args:
        service: the principal, "codebuild.amazonaws.com".
        account_id: the lab's, if not given.
    """
    for start in range(0, len(data), _MOST_DATA):
        try:
            cloudwatch = clients.as_service(service, region, account_id).client("cloudwatch")
            some = data[start : start + _MOST_DATA]
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=some)
        except (ClientError, BotoCoreError) as error:
            logger.warning("no metrics in %s: %s", namespace, error)
