"""Builds in a lab of their own, for a process that has no network: python -m ... STATE_DIR.

Prints a JSON object: for each name in BUILDS its status and the lines of its log.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from labkit.cloud.front import launcher
from tests.codebuild.conftest import make_bench
from tests.conftest import Aws

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_APP = ROOT / "sample_app"
BUILDS = {
    "the sample app": None,  # by its own buildspec
    "another npm package": "npm install left-pad@1.3.0",
    "a pip package": "pip install lab-kit-has-no-such-package",
    "a download": "curl --silent --show-error https://example.com/",
    "no network needed": "echo 'a test has failed'; exit 3",
}


def main() -> None:
    description, _ = launcher.up(Path(sys.argv[1]))
    try:
        bench = make_bench(Aws(description))
        files = {
            path.relative_to(SAMPLE_APP).as_posix(): path.read_bytes()
            for path in SAMPLE_APP.rglob("*")
            if path.is_file() and not {"node_modules", "dist"} & set(path.parts)
        }
        source = {"type": "S3", "location": f"{bench.bucket}/{bench.upload(files)}"}
        project = bench.project(source=source)
        told = {}
        for name, command in BUILDS.items():
            text = json.dumps({"version": 0.2, "phases": {"build": {"commands": [command]}}})
            build = bench.run(project, **({"buildspecOverride": text} if command else {}))
            told[name] = {"status": build["buildStatus"], "log": bench.log(build)}
        print(json.dumps(told))
    finally:
        launcher.down(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
