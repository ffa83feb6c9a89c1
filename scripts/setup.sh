#!/usr/bin/env bash
# Make a virtual environment with the pinned versions. Arguments: its folder, and the Python to use. Run by `make setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 python=$2
unset PYTHONPATH PYTHONHOME

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "setup: $python is missing or is not Python 3.11, the only version that the pinned packages support." >&2
  echo "setup: install it (Debian: apt-get install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! [ -x "$venv/bin/python" ]; then
  echo "setup: making a virtual environment in $venv"
  "$python" -m venv "$venv" || {
    rm -rf "$venv"
    echo "setup: $python cannot make a virtual environment (Debian: apt-get install python3.11-venv)" >&2
    exit 1
  }
fi

gpu=cpu extras=dev,docs,notebooks
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
  gpu=gpu extras=dev,docs,notebooks,gpu
fi
echo "setup: installing uv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' constraints.txt)"
echo "setup: installing the pinned packages ($gpu), which takes a few minutes the first time"
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" \
  --constraint constraints.txt --override "scripts/overrides-$gpu.txt" --editable ".[$extras]"
has_libpython='import sys; from cascade.ensemble.server.runtime import find_libpython as find; sys.exit(find() is None)'
if ! "$venv/bin/python" -c "$has_libpython"; then
  echo "setup: installing libpython3.11, which Triton needs"
  scripts/apt.sh libpython3.11 || echo "setup: without libpython3.11.so.1.0 Triton cannot run; see \`cascade doctor\`" >&2
fi
if ! [ -e /usr/lib/x86_64-linux-gnu/libb64.so.0d ]; then
  echo "setup: installing libb64, which perf_analyzer needs"
  scripts/apt.sh libb64-0d || echo "setup: without libb64 \`cascade bench\` uses its own load generator, not perf_analyzer" >&2
fi
echo "setup: $venv is ready ($gpu)"
