#!/usr/bin/env bash
# Make .venv from the pinned versions; run by `make setup`. Arguments: the virtual environment, the Python to use.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 python=$2
unset PYTHONPATH PYTHONHOME

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "setup: $python is missing or is not Python 3.11, the only version that the pinned stack supports." >&2
  echo "setup: install it (Debian: apt-get install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! [ -x "$venv/bin/python" ]; then
  "$python" -m venv "$venv" || {
    echo "setup: $python cannot make a virtual environment (Debian: apt-get install python3.11-venv)" >&2
    exit 1
  }
fi

gpu=cpu extras=dev,notebooks
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
  gpu=gpu extras=dev,notebooks,gpu
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' constraints.txt)"
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
  --constraint constraints.txt --override "scripts/overrides-$gpu.txt" --editable ".[$extras]"
echo "setup: $venv is ready ($gpu)"
