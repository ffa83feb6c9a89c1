#!/usr/bin/env bash
# Install Debian packages. Without root or apt-get, name the missing packages and fail.
set -euo pipefail
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  export DEBIAN_FRONTEND=noninteractive
  if apt-get install -qq -y "$@" >"$log" 2>&1 || { apt-get update -qq && apt-get install -qq -y "$@"; } >"$log" 2>&1; then
    exit 0
  fi
  tail -n 3 "$log" >&2
fi
echo "missing: $*; install it (Debian, as root: apt-get install $*)" >&2
exit 1
