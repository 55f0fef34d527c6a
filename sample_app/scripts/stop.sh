#!/usr/bin/env bash
# ApplicationStop: end the version that runs. Nothing running is fine.
source "$(dirname "$0")/common.sh"

if ! pid=$(running_pid); then
  echo "Nothing is running"
  exit 0
fi
kill "$pid"
for _ in $(seq 100); do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.05
done
kill -9 "$pid" 2>/dev/null || true
rm -f "$PID_FILE"
echo "Stopped process $pid"
