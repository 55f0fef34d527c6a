"""Exercise: a hook for ValidateService that believes nothing but what the service says, and has patience.

Four deployments onto one host: a good release that needs a while to start, one that is down, one that
answers with an error, and one of which the version before still answers.

Page: "AppSpec 'hooks' section", ValidateService.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import deploy, provision
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.releases import failed_event

_APPSPEC = """version: 0.0
os: linux
files: [{source: app, destination: /srv/app}]
file_exists_behavior: OVERWRITE
hooks:
  ApplicationStart: [{location: scripts/start.sh, timeout: 20}]
  ValidateService: [{location: scripts/validate.sh, timeout: 30}]
"""
_COMMON = """set -euo pipefail
export APP_DIR="${HOST_ROOT:-}/srv/app" PORT="${PORT:-8080}"
PID_FILE="${HOST_ROOT:-}/var/run/app.pid"
"""
_START = """#!/usr/bin/env bash
source "$(dirname "$0")/common.sh"
if [ -f "$PID_FILE" ]; then kill "$(cat "$PID_FILE")" 2>/dev/null || true; fi
mkdir -p "$(dirname "$PID_FILE")"
nohup node "$APP_DIR/server.js" >/dev/null 2>&1 </dev/null &
echo $! >"$PID_FILE"
"""
_SERVER = """const { KEY, behaviour } = require('./release.json');
if (behaviour === 'down') process.exit(1);
const said = { KEY: behaviour === 'stale' ? '0.9' : KEY };
require('node:http').createServer((request, response) => {
  const known = request.url === 'PATH';
  response.writeHead(!known ? 404 : behaviour === 'sick' ? 503 : 200);
  response.end(JSON.stringify(known ? said : {}));
}).listen(process.env.PORT, '127.0.0.1', () => {});
"""
_SLOW_MS = 1000


def begin(facts: Facts) -> dict[str, Any]:
    """A script that looks whether something was started."""
    return {
        "validate_sh": '#!/usr/bin/env bash\nsource "$(dirname "$0")/common.sh"\ntest -f "$PID_FILE"\n'
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """One host and a deployment group that does not go back by itself."""
    provision(lab, until="artifacts")
    deploy.create_instances(lab, 1)
    deploy.create_application(lab)
    deploy.create_deployment_group(lab)
    lab.client("codedeploy").update_deployment_group(
        applicationName=lab.application,
        currentDeploymentGroupName=lab.fleet,
        deploymentConfigName="CodeDeployDefault.AllAtOnce",
        autoRollbackConfiguration={"enabled": False},
    )


@dataclass(frozen=True)
class Outcome:
    """Whether the deployment of each kind of release succeeded, and what the hook said of the good one."""

    succeeded: dict[str, bool]
    said: str

    def stops(self, behaviour: str) -> bool:
        """Whether such a release fails its deployment.

        Raises:
            NotYetError: a script that fails always tells nothing.
        """
        if not self.succeeded["good"]:
            raise NotYetError("first let a good release through")
        return not self.succeeded[behaviour]


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Deploy four releases, each with the hook that was handed in."""
    found = {}
    for behaviour in ("good", "down", "sick", "stale"):
        info = _deployed(lab, facts, behaviour, str(answer["validate_sh"]))
        found[behaviour] = info["status"] == "Succeeded"
        if behaviour == "good" and not found["good"]:
            failed = failed_event(lab, info)
            return Outcome(found, f"{failed['event']}: {failed['message']}" if failed else "")
    return Outcome(found, "")


def _deployed(lab: Lab, facts: Facts, behaviour: str, validate_sh: str) -> dict[str, Any]:
    key = f"releases/{behaviour}.zip"
    body = _bundle(facts, behaviour, validate_sh)
    lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=body)
    return observe.wait_for_deployment(lab, deploy.create_deployment(lab, key))


def _bundle(facts: Facts, behaviour: str, validate_sh: str) -> bytes:
    server = _SERVER.replace("KEY", facts["key"]).replace("PATH", facts["path"])
    if behaviour == "good":
        server = f"setTimeout(() => {{\n{server}}}, {_SLOW_MS});\n"
    release = {facts["key"]: "1.0", "behaviour": behaviour}
    files = {
        "appspec.yml": _APPSPEC,
        "scripts/common.sh": _COMMON,
        "scripts/start.sh": _START,
        "scripts/validate.sh": validate_sh,
        "app/server.js": server,
        "app/release.json": json.dumps(release),
    }
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as bundle:
        for name, text in files.items():
            item = zipfile.ZipInfo(name)
            item.external_attr = (0o100755 if name.endswith(".sh") else 0o100644) << 16
            bundle.writestr(item, text)
    return whole.getvalue()


EXERCISE = Exercise(
    title="write the hook",
    lesson="11_hooks_and_health",
    level=3,
    given={
        "name": ("exercise-9",),
        "path": ("/ready", "/healthz", "/status", "/up"),
        "key": ("edition", "build", "revision", "tag"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a good release comes through, though its service needs a while to start",
            lambda it: it.succeeded["good"],
            lambda it: f"{it.said}: ask again for some seconds before you give up",
            points=2,
        ),
        Check(
            "a release whose service is down is stopped",
            lambda it: it.stops("down"),
            "ask the service itself: that it was started says little",
        ),
        Check(
            "and one that answers with an error",
            lambda it: it.stops("sick"),
            "not every answer is a good one: see its status",
        ),
        Check(
            "and one of which another version answers",
            lambda it: it.stops("stale"),
            "compare the version in the answer with that in release.json",
        ),
    ),
)
