"""The job workers' operations, for custom and for third-party action types.

AWS pages: "Create a job worker for your custom action"; "PollForThirdPartyJobs".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline import catalogue, jobs
from labkit.cloud.codepipeline.api.base import Answer, Operations, invalid
from labkit.cloud.codepipeline.registry import Job
from labkit.cloud.shared.service import AWSError

MAX_BATCH = 10


class Jobs(Operations):
    def poll_for_jobs(
        self,
        actionTypeId: Answer,
        maxBatchSize: int | None = None,
        queryParam: dict[str, str] | None = None,
    ) -> Answer:
        if actionTypeId["owner"] != "Custom":
            invalid("PollForJobs takes action types with owner Custom")
        row = self._known(actionTypeId)
        queryable = [item["name"] for item in row["properties"] if item.get("queryable")]
        for key in queryParam or {}:
            if key not in queryable:
                invalid(f"{key} is not a queryable configuration property of the action type")
        found = jobs.poll(self.registry, actionTypeId, maxBatchSize or MAX_BATCH, queryParam)
        return {"jobs": [{**self._details(job), "nonce": job.nonce} for job in found]}

    def acknowledge_job(self, jobId: str, nonce: str) -> Answer:
        return {"status": jobs.acknowledge(jobs.get(self.registry, jobId), nonce)}

    def get_job_details(self, jobId: str) -> Answer:
        return {"jobDetails": self._details(jobs.get(self.registry, jobId))}

    def put_job_success_result(self, jobId: str, **result: Any) -> Answer:
        jobs.succeed(jobs.get(self.registry, jobId), result)
        return {}

    def put_job_failure_result(self, jobId: str, failureDetails: Answer) -> Answer:
        jobs.fail(jobs.get(self.registry, jobId), failureDetails)
        return {}

    # third parties: the lab has one account, so a job's clientId is its client token too

    def poll_for_third_party_jobs(
        self, actionTypeId: Answer, maxBatchSize: int | None = None
    ) -> Answer:
        if actionTypeId["owner"] != "ThirdParty":
            invalid("PollForThirdPartyJobs takes action types with owner ThirdParty")
        self._known(actionTypeId)
        found = jobs.poll(self.registry, actionTypeId, maxBatchSize or MAX_BATCH)
        return {"jobs": [{"clientId": job.client_id, "jobId": job.id} for job in found]}

    def get_third_party_job_details(self, jobId: str, clientToken: str) -> Answer:
        job = jobs.get(self.registry, jobId, clientToken)
        details = {"id": job.id, "data": jobs.job_data(job), "nonce": job.nonce}
        return {"jobDetails": details}

    def acknowledge_third_party_job(self, jobId: str, nonce: str, clientToken: str) -> Answer:
        return {"status": jobs.acknowledge(jobs.get(self.registry, jobId, clientToken), nonce)}

    def put_third_party_job_success_result(
        self, jobId: str, clientToken: str, **result: Any
    ) -> Answer:
        jobs.succeed(jobs.get(self.registry, jobId, clientToken), result)
        return {}

    def put_third_party_job_failure_result(
        self, jobId: str, clientToken: str, failureDetails: Answer
    ) -> Answer:
        jobs.fail(jobs.get(self.registry, jobId, clientToken), failureDetails)
        return {}

    def _known(self, type_id: Answer) -> catalogue.Row:
        row = catalogue.find(self.registry, type_id)
        if row is None:
            raise AWSError(
                "ActionTypeNotFoundException",
                f"The action type {'/'.join(catalogue.key_of(type_id))} was not found",
            )
        return row

    def _details(self, job: Job) -> Answer:
        return {"id": job.id, "data": jobs.job_data(job), "accountId": self.current_account}
