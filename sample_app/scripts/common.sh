# What the hooks share. On a real host HOST_ROOT is not set and the paths are the machine's own;
# in the lab it names the directory that stands for the host's root.
set -euo pipefail

APP_DIR="${HOST_ROOT:-}/var/www/labkit-sample"
RUN_DIR="${HOST_ROOT:-}/var/run/labkit-sample"
LOG_FILE="${HOST_ROOT:-}/var/log/labkit-sample.log"
PID_FILE="$RUN_DIR/app.pid"
SERVER="$APP_DIR/src/server.js"
export PORT="${PORT:-8080}"

# The process that start.sh left behind, if it still lives: the number alone may by now be
# another's, so its command line must name this host's server.
running_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  kill -0 "$pid" 2>/dev/null || return 1
  [[ "$(command_of "$pid")" == *"$SERVER"* ]] || return 1
  echo "$pid"
}

# A slim Linux has no ps, a Mac has no /proc.
command_of() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline"
  else
    ps -ww -p "$1" -o args=
  fi
}
