#!/usr/bin/env bash
# Installs etf_jax with its test extra into a virtual environment and runs all
# tests, or with --fast those that are not marked slow.
# Usage: bash launch/test.sh [--fast] [arguments of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}
if [ "${1:-}" = --fast ]; then
  shift
  set -- -m "not slow" "$@"
fi
[ -d "$venv" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --editable '.[test]'
# Two processes, each with whole files: their fixtures are made once.
"$venv/bin/python" -m pytest --numprocesses=2 --dist=loadfile "$@"
