#!/usr/bin/env bash
# ValidateService: the service answers, and it is the version that was installed.
source "$(dirname "$0")/common.sh"

if ! node "$(dirname "$0")/validate.js" "$APP_DIR" "$PID_FILE"; then
  echo "The end of $LOG_FILE:" >&2
  tail -n 20 "$LOG_FILE" >&2 || true
  exit 1
fi
