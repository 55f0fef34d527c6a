"""What lesson 16 makes beside a pipeline's usual pieces: how to wait for it, and how to clear it away.

AWS pages: "Create and add a custom action in CodePipeline"; "AWS Step Functions invoke action reference".
"""

from __future__ import annotations

from labkit.lab import Lab
from labkit.observe.executions import executions
from labkit.observe.waiting import wait_for
from labkit.provision import pipeline, roles
from labkit.provision.aws import missing_is_fine

PROVIDER = "Weigh"  # of the custom action type
STARTS_SECONDS = 180.0  # AWS polls about once a minute


def machine_arn(lab: Lab) -> str:
    """The ARN of the state machine that says whether a release may go on."""
    return lab.arn("states", f"stateMachine:{lab.name}")


def triggers_of(lab: Lab, commit: str, at_least: int = 1) -> list[str]:
    """What has started the executions of a commit, as CodePipeline says; waits until there are so many.

    Raises:
        TimeoutError: there are fewer after three minutes.
    """

    def read() -> list[str]:
        known = executions(lab)
        return sorted(known[known["commit"] == commit[:8]]["trigger"])

    return wait_for(
        lab,
        f"{at_least} execution(s) of commit {commit[:8]}",
        read,
        lambda found: len(found) >= at_least,
        STARTS_SECONDS,
        lambda found: f"Only {len(found)} execution(s) have taken up commit {commit[:8]}.",
    )


def delete_reach(lab: Lab) -> None:
    """Delete the pipeline with its rule, the custom action type, and the state machine with its role."""
    codepipeline = lab.client("codepipeline")
    pipeline.delete_pipeline(lab)
    pages = codepipeline.get_paginator("list_action_types").paginate(actionOwnerFilter="Custom")
    for kind in [one["id"] for page in pages for one in page["actionTypes"]]:
        if kind["provider"] == PROVIDER:
            del kind["owner"]
            codepipeline.delete_custom_action_type(**kind)
    with missing_is_fine():
        lab.client("stepfunctions").delete_state_machine(stateMachineArn=machine_arn(lab))
    with missing_is_fine():
        roles.delete_role(lab, "states")
    with missing_is_fine():
        lab.client("iam").delete_role_policy(
            RoleName=lab.role("codepipeline"), PolicyName="machine"
        )
