"""Invoke action Lambda, and the rule LambdaInvoke: a function that answers as a job worker does.

What the function returns is ignored; only PutJobSuccessResult and PutJobFailureResult count. AWS page:
"AWS Lambda invoke action reference"; "Invoke an AWS Lambda function in a pipeline in CodePipeline".
"""

from __future__ import annotations

import json

from labkit.cloud.codepipeline import jobs
from labkit.cloud.codepipeline.action import Action
from labkit.cloud.codepipeline.registry import Job

_TIMEOUT_SECONDS = 24 * 3600
_HEARTBEAT_SECONDS = 20 * 60


def run(action: Action) -> None:
    """Call the function with the job, and wait for what it says of it."""

    def dispatch(job: Job) -> None:
        data = jobs.job_data(job, context=False)
        del data["actionTypeId"]
        about = {"id": job.id, "accountId": action.pipeline.account_id, "data": data}
        answer = action.client("lambda").invoke(
            FunctionName=action.configuration["FunctionName"],
            InvocationType="Event",
            Payload=json.dumps({"CodePipeline.job": about}),
        )
        action.report(external_id=answer["ResponseMetadata"]["RequestId"])

    jobs.perform(action, _TIMEOUT_SECONDS, dispatch=dispatch, heartbeat_seconds=_HEARTBEAT_SECONDS)
