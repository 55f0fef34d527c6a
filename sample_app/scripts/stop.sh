#!/usr/bin/env bash
# ApplicationStop: end the version that runs. Nothing running is fine.
source "$(dirname "$0")/common.sh"

if ! pid=$(running_pid); then
  echo "Nothing is running"
  rm -f "$PID_FILE"
  exit 0
fi

# True once the process has gone, false after five seconds.
gone() {
  for _ in $(seq 100); do
    running_pid >/dev/null || return 0
    sleep 0.05
  done
  return 1
}

kill "$pid" 2>/dev/null || true
if ! gone; then
  echo "Process $pid does not end by itself: killing it"
  kill -9 "$pid" 2>/dev/null || true
  if ! gone; then
    echo "Process $pid is still there" >&2
    exit 1
  fi
fi
rm -f "$PID_FILE"
echo "Stopped process $pid"
