#!/usr/bin/env bash
# Installs etf_jax into a virtual environment, trains cross-entropy and ETF +
# dot regression on long-tailed digits with three seeds each, and puts both in
# one table and one page. About four minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}
[ -d "$venv" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --editable .
for method in ce etf_dr; do
  "$venv/bin/python" -m etf_jax.main --config=configs/digits_lt.py \
    --config.method="$method" --config.seeds=0,1,2 \
    --workdir="runs/quickstart/$method"
done
"$venv/bin/python" -m etf_jax.reporting runs/quickstart \
  --output=runs/quickstart/report.html
