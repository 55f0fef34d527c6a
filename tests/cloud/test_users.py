"""Users of guests where the lab is root of its own id alone, as in some containers.

Page: user_namespaces(7).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--"]
PREPARE = """
import os, pathlib, sys
from labkit.cloud.guests import roots, users
roots.prepare(pathlib.Path(sys.argv[1]))
print(os.getuid(), users.can_be_taken())
"""


def test_root_of_one_id_prepares_a_host_and_becomes_nobody_else(tmp_path: Path) -> None:
    try:
        subprocess.run([*IN_A_NAMESPACE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no user namespace can be made here: {error}")
    done = subprocess.run(
        [*IN_A_NAMESPACE, sys.executable, "-c", PREPARE, str(tmp_path / "host")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0 False\n", done.stderr
    assert (tmp_path / "host" / "home" / "ec2-user").is_dir()
