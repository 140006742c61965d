#!/usr/bin/env bash
# Trains on one machine with NVIDIA GPUs: one process that uses all of them.
# Installs etf_jax[cuda] into a virtual environment if there is none.
#
#   bash launch/gpu_node.sh [--gpus=0,1] [--dry_run] -- \
#     --config=etf_jax:NAME --workdir=runs/NAME
set -euo pipefail

refuse() {
  echo "error: $*" >&2
  exit 2
}

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [ "$dry_run" ] || "$@"
}

gpus='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --gpus=*)
      gpus=${1#*=}
      [[ $gpus =~ ^[0-9]+(,[0-9]+)*$ ]] ||
        refuse "--gpus='$gpus' must be numbers of GPUs, as in --gpus=0,1"
      ;;
    --dry_run) dry_run=1 ;;
    --)
      shift
      break
      ;;
    *) refuse "$1 is not a setting; arguments of training follow after --" ;;
  esac
  shift
done
[[ " $* " == *" --config="* ]] || refuse "no --config=FILE was given after --"

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}
if [ -z "$dry_run" ]; then
  nvidia-smi --list-gpus ||
    refuse "nvidia-smi finds no GPU here; without one: python -m etf_jax.main"
fi
if [ ! -d "$venv" ]; then
  run "$python" -m venv "$venv"
  run "$venv/bin/python" -m pip install --quiet --editable '.[cuda]'
fi
train=("$venv/bin/python" -m etf_jax.main "$@")
[ -z "$gpus" ] || train=(env "CUDA_VISIBLE_DEVICES=$gpus" "${train[@]}")
# In place of this shell, so that signals and the exit code are the run's own.
run exec "${train[@]}"
