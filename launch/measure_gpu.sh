#!/usr/bin/env bash
# Measures the train step and short runs on one GPU, in at most ten minutes, and
# writes one report. A part that fails or runs out of time is named in it.
#
#   bash launch/measure_gpu.sh [--output=FOLDER] [--topology=h200:1] \
#     [--pack_seeds=4,16] [--blocks=5] [--epochs=4] -- \
#     [--config=FILE] [--config.FIELD=VALUE ...]
#
# The default is ResNet-32 on long-tailed CIFAR-10 in bfloat16, whose images
# must have been prepared (python -m etf_jax.prepare).
set -euo pipefail

refuse() {
  echo "error: $*" >&2
  exit 2
}

output=runs/measured topology=h200:1 packs=4,16 blocks=5 epochs=4
while [ $# -gt 0 ]; do
  case $1 in
    --output=*) output=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --pack_seeds=*) packs=${1#*=} ;;
    --blocks=*) blocks=${1#*=} ;;
    --epochs=*) epochs=${1#*=} ;;
    --)
      shift
      break
      ;;
    *) refuse "$1: is no setting; fields of the config follow after --" ;;
  esac
  shift
done
[ $# -gt 0 ] || set -- --config=etf_jax:cifar10_lt --config.dtype=bfloat16
[ ! -e "$output" ] || refuse "--output=$output: is there; name another folder"
mkdir -p "$output" || exit 2
python=${PYTHON:-python3}
report=$output/report.md
end=$((SECONDS + 600))

part() { # TITLE SECONDS COMMAND...
  local title=$1 most=$2 left=$((end - SECONDS)) code=0
  shift 2
  if [ "$left" -lt "$most" ]; then most=$left; fi
  {
    printf '\n## %s\n\n' "$title"
    printf '    %s\n\n' "$*"
    if [ "$most" -le 0 ]; then
      echo 'not measured: the ten minutes are over'
    else
      timeout "$most" "$@" 2>&1 || code=$?
      [ "$code" -eq 0 ] || echo "not measured: exit code $code"
    fi
  } >>"$report"
}

echo "# Measured $(date -u '+%F %T') UTC" >"$report"
part 'Device' 10 nvidia-smi
part 'Steps, packed seeds and runs' 330 "$python" -m etf_jax.benchmark train \
  --blocks="$blocks" --epochs="$epochs" --pack_seeds="$packs" \
  --json="$output/train.json" "$@"
part 'Launches, compiled' 150 "$python" -m etf_jax.benchmark compile \
  --topology="$topology" --json="$output/compile.json" "$@"
part 'A profile of ten steps' 120 "$python" -m etf_jax.main "$@" \
  --config.seeds=0, --config.total_epochs=1 --config.profile_steps=20,10 \
  --config.collapse.splits='()' --workdir="$output/profiled"
part 'Launches, profiled' 20 "$python" - "$output/profiled" <<'END'
import collections, gzip, json, pathlib, sys

[file] = pathlib.Path(sys.argv[1], "profile").rglob("*.trace.json.gz")
events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
names = {e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"}
rows = collections.Counter(
  names.get(e["pid"], "?") for e in events if e.get("ph") == "X"
)
for row, number in rows.items():
  print(f"{row}: {number} events, {number / 10:g} a step")
END
echo "$report"
