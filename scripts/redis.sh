#!/usr/bin/env bash
# redis-server for the tests of the Redis online store, where it can be installed; those tests say so when it is not there.
set -euo pipefail
command -v redis-server >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y redis-server >/dev/null 2>&1 && exit 0
fi
echo "redis-server is not installed: the tests of the Redis online store are skipped (Debian: apt-get install redis-server)" >&2
