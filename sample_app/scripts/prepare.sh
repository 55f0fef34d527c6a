#!/usr/bin/env bash
# AfterInstall: show what was installed, and give the new version a log of its own.
source "$(dirname "$0")/common.sh"

cat "$APP_DIR/build-info.json"
if [ -f "$LOG_FILE" ]; then
  mv -f "$LOG_FILE" "$LOG_FILE.1"
fi
