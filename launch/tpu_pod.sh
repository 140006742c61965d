#!/usr/bin/env bash
# Trains on a Cloud TPU VM of one host or many: asks for the TPU if told to,
# clones this checkout's last commit on every worker, mounts the shared folder,
# runs one command on all workers, and runs it again after every preemption.
# What it runs is printed first; looking up states is not.
#
#   bash launch/tpu_pod.sh --name=NAME --zone=ZONE [settings] -- \
#     --config=etf_jax:NAME --workdir=/mnt/etf_jax/runs/NAME
#
# launch/README.md explains the settings and what mistakes cost.
set -euo pipefail

readonly mounted=/mnt/etf_jax
readonly preempted=75 # exit code of a run that was told to stop ...
readonly stopped=130  # ... by --stop
readonly lost=76      # of one that has lost another worker

refuse() {
  echo "error: $*" >&2
  exit 2
}

fail() {
  echo "error: $*" >&2
  exit 1
}

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [ "$dry_run" ] || "$@"
}

name='' zone='' project='' accelerator='' runtime_version='' source=''
spot='' delete='' stop='' dry_run=''
wait_hours=24 max_restarts=20 poll_seconds=30
while [ $# -gt 0 ]; do
  case $1 in
    --name=* | --zone=* | --project=* | --accelerator=* | --wait_hours=* | \
      --runtime_version=* | --max_restarts=* | --poll_seconds=*)
      setting=${1%%=*}
      printf -v "${setting#--}" %s "${1#*=}"
      ;;
    --mount=*) source=${1#*=} ;;
    --spot | --delete | --stop | --dry_run) printf -v "${1#--}" 1 ;;
    --)
      shift
      break
      ;;
    *) refuse "$1 is not a setting; arguments of training follow after --" ;;
  esac
  shift
done

[[ $name =~ ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$ ]] ||
  refuse "--name='$name' must be lower-case letters, digits and dashes," \
    "a letter first: it names the TPU VM and its queued resource"
[ "$zone" ] || refuse "--zone is missing, as in --zone=us-west4-a"
for setting in wait_hours max_restarts poll_seconds; do
  [[ ${!setting} =~ ^(0|[1-9][0-9]*)$ ]] ||
    refuse "--$setting='${!setting}' must be a whole number"
done
[ "$wait_hours" -gt 0 ] || refuse "--wait_hours=0 must be at least 1"
if [ "$accelerator" ] && [ -z "$runtime_version" ]; then
  refuse "--accelerator=$accelerator needs --runtime_version too," \
    "as in --runtime_version=v2-alpha-tpuv5-lite"
elif [ -z "$accelerator" ] && [ "$runtime_version$spot" ]; then
  refuse "--runtime_version and --spot are for a TPU that is to be created:" \
    "give --accelerator too, as in --accelerator=v5litepod-16"
fi
case $source in
  '' | gs://?* | ?*:/?*) ;;
  *) refuse "--mount='$source' must be gs://BUCKET or HOST:/EXPORT" ;;
esac

config='' workdir=''
for argument in "$@"; do
  case $argument in
    --config=?*) config=1 ;;
    --workdir=*) workdir=${argument#*=} ;;
  esac
done
if [ -z "$stop" ]; then
  [ "$config" ] || refuse "no --config=FILE was given after --"
  if [ "$source" ] && [[ $workdir != "$mounted"/?* ]]; then
    refuse "--workdir='$workdir' must lie in $mounted, the folder that all" \
      "workers share"
  elif [[ $workdir != /?* ]]; then
    refuse "--workdir='$workdir' must be an absolute path in a folder that" \
      "all workers share; --mount=gs://BUCKET or --mount=HOST:/EXPORT makes" \
      "$mounted one"
  fi
fi

cd "$(dirname "$0")/.."
revision=$(git rev-parse --short=12 HEAD 2>/dev/null) ||
  refuse "$PWD is no git checkout, and the workers clone its last commit"
[ "$(git rev-parse --is-shallow-repository)" = false ] ||
  refuse "$PWD is a shallow clone, which workers cannot clone; first: git" \
    "fetch --unshallow"
if [ -z "$stop" ] && ! git diff --quiet HEAD --; then
  echo "# changes that are not committed stay here; the workers get $revision"
fi
[ "$dry_run" ] || command -v gcloud >/dev/null ||
  refuse "gcloud was not found: install the Google Cloud CLI"

place=(--zone="$zone")
[ -z "$project" ] || place+=(--project="$project")
tpus=(gcloud compute tpus)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Prints the state of the TPU VM (tpu-vm) or of its queued resource.
state_of() {
  local field=state
  [ "$1" = tpu-vm ] || field=state.state
  if "${tpus[@]}" "$1" describe "$name" "${place[@]}" \
    --format="value($field)" >"$scratch/state" 2>"$scratch/error"; then
    cat "$scratch/state"
  elif grep -q NOT_FOUND "$scratch/error"; then
    echo ABSENT
  else
    cat "$scratch/error" >&2
    fail "gcloud cannot tell the state of $name; nothing was changed"
  fi
}

requests=0
create() {
  [ "$accelerator" ] ||
    fail "there is no TPU VM $name in $zone; --accelerator and" \
      "--runtime_version ask for one, and it costs money from then on"
  [ "$requests" -le "$max_restarts" ] ||
    fail "$name was lost $requests times; --max_restarts=$max_restarts"
  requests=$((requests + 1))
  # The request expires, so that no TPU turns up after nobody waits for it.
  local order=("${tpus[@]}" queued-resources create "$name" "${place[@]}"
    --node-id="$name" --accelerator-type="$accelerator"
    --runtime-version="$runtime_version"
    --valid-until-duration="${wait_hours}h")
  [ -z "$spot" ] || order+=(--spot)
  run "${order[@]}"
}

remove() {
  local request=''
  [ "$dry_run" ] || request=$(state_of queued-resources) || exit 1
  if [ "$request" != ABSENT ]; then
    run "${tpus[@]}" queued-resources delete "$name" "${place[@]}" \
      --force --quiet
  else
    run "${tpus[@]}" tpu-vm delete "$name" "${place[@]}" --quiet
  fi
}

# Waits until the TPU VM is ready; asks for one where there is none.
prepare() {
  local node request shown='' deadline=$((SECONDS + wait_hours * 3600))
  while :; do
    request=''
    node=$(state_of tpu-vm) || exit 1
    if [ "$node" = READY ]; then
      return
    elif [ "$node" = STOPPED ]; then
      fail "$name is STOPPED; start it: ${tpus[*]} tpu-vm start $name" \
        "${place[*]}"
    elif [ "$node" = ABSENT ]; then
      request=$(state_of queued-resources) || exit 1
    fi
    if [ "$node $request" != "$shown" ]; then
      shown="$node $request"
      echo "# TPU VM: $node${request:+; queued resource: $request}"
    fi
    case $node/$request in
      ABSENT/ABSENT) create ;;
      ABSENT/FAILED)
        fail "the request for $name failed; see: ${tpus[*]}" \
          "queued-resources describe $name ${place[*]}"
        ;;
      PREEMPTED/* | TERMINATED/* | ABSENT/SUSPENDED)
        [ "$accelerator" ] ||
          fail "$name was lost ($node); with --accelerator and" \
            "--runtime_version it is asked for again"
        remove || echo "# it could not be deleted yet"
        ;;
    esac
    [ "$SECONDS" -lt "$deadline" ] ||
      fail "$name is not ready after $wait_hours hours; take it back with:" \
        "${tpus[*]} queued-resources delete $name ${place[*]} --force"
    sleep "$poll_seconds"
  done
}

on_all() {
  local command
  command=$(printf ' %q' "$@")
  run "${tpus[@]}" tpu-vm ssh "$name" "${place[@]}" --worker=all \
    --command="bash etf_jax_worker.sh$command"
}

copy() {
  local bundle=etf_jax-$revision.bundle
  run git bundle create --quiet "$scratch/$bundle" HEAD &&
    run cp launch/tpu_worker.sh "$scratch/etf_jax_worker.sh" &&
    run "${tpus[@]}" tpu-vm scp "$scratch/$bundle" \
      "$scratch/etf_jax_worker.sh" "$name:" "${place[@]}" --worker=all
}

if [ "$stop" ]; then
  on_all stop "$name"
  exit
fi

echo "# $name is billed from when it is ready until it is deleted"
restarts=0
losses=0 # one after the other, on a TPU that is ready
while :; do
  if [ "$dry_run" ]; then
    [ -z "$accelerator" ] || create
  else
    prepare
  fi
  code=0
  {
    copy &&
      on_all install "$revision" &&
      { [ -z "$source" ] || on_all mount "$source" "$mounted"; } &&
      on_all run "$name" "$revision" "$@"
  } || code=$?
  [ "$code" -ne 0 ] || break
  [ "$code" -ne 2 ] || exit 2
  if [ "$code" -eq "$stopped" ]; then
    echo "# stopped; the same command goes on. $name is billed meanwhile"
    exit "$preempted"
  fi
  if [ "$code" -ne "$preempted" ]; then
    # A TPU that is taken away can fail in any way, and a moment before its
    # state says so. 255 is a lost connection: the run goes on without it.
    sleep "$poll_seconds"
    node=$(state_of tpu-vm) || exit 1
    [ "$node" = READY ] && [ "$code" -eq "$lost" ] || losses=0
    case $node/$code in
      READY/255) ;;
      READY/"$lost")
        losses=$((losses + 1))
        [ "$losses" -lt 3 ] ||
          fail "a worker was lost $losses times on a TPU that is READY; the" \
            "first message above says why. $name is still billed"
        ;;
      READY/*)
        echo "# $name is still billed; delete it if it is not needed"
        exit "$code"
        ;;
    esac
  fi
  [ "$restarts" -lt "$max_restarts" ] || {
    echo "error: stopped $((restarts + 1)) times;" \
      "--max_restarts=$max_restarts; the same command goes on" >&2
    exit "$preempted"
  }
  restarts=$((restarts + 1))
  echo "# exit code $code; going on (restart $restarts)"
done
if [ "$delete" ]; then
  remove
else
  echo "# done; $name is billed until it is deleted: ${tpus[*]}" \
    "queued-resources delete $name ${place[*]} --force"
fi
