#!/usr/bin/env bash
# Runs the fast tests under several versions of Python, each in an environment
# with the newest packages that it gets, which is removed afterwards.
# Usage: bash launch/test_pythons.sh [arguments of pytest]
# PYTHONS names the interpreters; default: python3.11 python3.12 python3.13.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
for python in ${PYTHONS:-python3.11 python3.12 python3.13}; do
  folder=$(mktemp -d)
  echo "== $python: $("$python" --version)"
  PYTHON=$python VENV=$folder/venv bash launch/test.sh --fast -q "$@" ||
    failed+=("$python")
  "$folder/venv/bin/python" -m pip list 2>/dev/null |
    grep -E '^(jax|flax|numpy) ' || true
  rm -rf "$folder"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
