#!/usr/bin/env bash
# BeforeInstall: what the service needs of the host.
source "$(dirname "$0")/common.sh"

if ! command -v node >/dev/null; then
  echo "node is not on the PATH: install Node 18 or newer on this instance" >&2
  exit 1
fi
echo "Node $(node --version) on $(uname -s)"
