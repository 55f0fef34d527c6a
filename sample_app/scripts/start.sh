#!/usr/bin/env bash
# ApplicationStart: start the new version in the background.
source "$(dirname "$0")/common.sh"

if running_pid >/dev/null; then
  bash "$(dirname "$0")/stop.sh"
fi
mkdir -p "$RUN_DIR" "$(dirname "$LOG_FILE")"

detach=nohup
if command -v setsid >/dev/null; then # a Mac has none
  detach="nohup setsid"
fi
cd "$APP_DIR"
# The agent waits until a hook's outputs are closed, so the service must not keep them.
$detach node "$SERVER" >>"$LOG_FILE" 2>&1 </dev/null &
echo $! >"$PID_FILE"
echo "Started process $! on port $PORT"
