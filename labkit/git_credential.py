"""git's credential helper for the lab: `python -m labkit.git_credential get`.

It makes the same user name and password as `aws codecommit credential-helper` does, from the AWS
variables in the environment, with the standard library alone so that a push does not wait for it.

AWS page: "Setup steps for HTTPS connections to AWS CodeCommit repositories on Linux, macOS, or
Unix with the AWS CLI credential helper".
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import time


def password(path: str, host: str, region: str, secret: str, timestamp: str) -> str:
    """The Signature Version 4 password for one repository.

    Args:
        path: the path in the clone URL, with its leading slash.
        host: the URL's host, without a port.
        timestamp: UTC, `YYYYmmddTHHMMSS`.
    """
    scope = f"{timestamp[:8]}/{region}/codecommit/aws4_request"
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"{timestamp}Z{hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()}"


def main() -> None:
    if sys.argv[1:] != ["get"]:
        return
    asked = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    missing = [
        name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if name not in os.environ
    ]
    if missing:
        sys.exit(f'{", ".join(missing)} not set: run eval "$(labkit env)" first')
    user, token = os.environ["AWS_ACCESS_KEY_ID"], os.environ.get("AWS_SESSION_TOKEN")
    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    timestamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path, host = "/" + asked.get("path", "").lstrip("/"), asked["host"].split(":")[0]
    print(f"username={user}%{token}" if token else f"username={user}")
    print(
        "password=" + password(path, host, region, os.environ["AWS_SECRET_ACCESS_KEY"], timestamp)
    )


if __name__ == "__main__":
    main()
