#!/usr/bin/env bash
# BeforeInstall: what the service needs of the host.
source "$(dirname "$0")/common.sh"

if ! command -v node >/dev/null; then
  echo "node not found: install Node 18 or newer on this instance, on the PATH of the CodeDeploy agent ($PATH)" >&2
  exit 1
fi
version=$(node --version)
major=${version#v}
if [ "${major%%.*}" -lt 18 ]; then
  echo "Node $version is too old: install Node 18 or newer on this instance" >&2
  exit 1
fi
echo "Node $version on $(uname -s)"
