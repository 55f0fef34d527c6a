"""The functions: their code as a zip, and what takes them away with all that deploys to them.

AWS pages: "Deploy Node.js Lambda functions with .zip file archives"; "Deployments on an AWS Lambda
compute platform".
"""

from __future__ import annotations

import io
import zipfile

from labkit.lab import Lab
from labkit.provision.aws import missing_is_fine
from labkit.provision.roles import delete_role


def application(lab: Lab) -> str:
    """What the CodeDeploy application of functions is called: an application has one platform."""
    return f"{lab.name}-lambda"


def hook(lab: Lab) -> str:
    """The name of a function that CodeDeploy calls: its managed policy lets it call no other."""
    return f"CodeDeployHook_{lab.name}"


def zipped(**files: str) -> bytes:
    """A zip of files by name without the ending, as CreateFunction takes it: `index_js="..."`."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in files.items():
            archive.writestr(".".join(name.rsplit("_", 1)), text)
    return body.getvalue()


def delete_functions(lab: Lab) -> None:
    """Delete what deploys to the functions, the functions, and their logs, alarm and role."""
    lab.client("codedeploy").delete_application(applicationName=application(lab))
    for name in (lab.name, hook(lab)):
        with missing_is_fine():
            lab.client("lambda").delete_function(FunctionName=name)
        with missing_is_fine():
            lab.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    lab.client("cloudwatch").delete_alarms(AlarmNames=[f"{lab.name}-errors"])
    for who in ("function", "codedeploy"):
        with missing_is_fine():
            delete_role(lab, who)
