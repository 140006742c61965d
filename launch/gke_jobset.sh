#!/usr/bin/env bash
# Trains on one multi-host TPU slice of a GKE cluster: fills in
# gke_jobset.yaml, prints it, and applies it with kubectl.
#
#   bash launch/gke_jobset.sh --name=NAME --image=IMAGE:TAG --claim=CLAIM \
#     --accelerator=tpu-v5-lite-podslice --topology=4x4 --chips=4 \
#     [--spot] [--dry_run] -- \
#     --config=etf_jax:NAME --workdir=/mnt/etf_jax/runs/NAME
set -euo pipefail

readonly mounted=/mnt/etf_jax

refuse() {
  echo "error: $*" >&2
  exit 2
}

# A string of JSON, which is one of YAML too, that Kubernetes does not expand.
quote() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "${text//\$(/\$\$(}"
}

name='' image='' claim='' accelerator='' topology='' chips='' spot='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --name=* | --image=* | --claim=* | --accelerator=* | --topology=* | \
      --chips=*)
      setting=${1%%=*}
      printf -v "${setting#--}" %s "${1#*=}"
      ;;
    --spot | --dry_run) printf -v "${1#--}" 1 ;;
    --)
      shift
      break
      ;;
    *) refuse "$1 is not a setting; arguments of training follow after --" ;;
  esac
  shift
done

label='^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$'
[[ $name =~ $label ]] ||
  refuse "--name='$name' must be at most 40 lower-case letters, digits and" \
    "dashes, a letter first"
version='(:[A-Za-z0-9_][-A-Za-z0-9_.]*|@sha256:[0-9a-f]{64})$'
[[ $image =~ ^[a-z0-9][-a-z0-9._/:]*$version && $image != *:latest ]] ||
  refuse "--image='$image' must name an image and its version, as in" \
    "--image=HOST/PROJECT/etf_jax:0.1.0; a restart must get the same code"
[[ $claim =~ ^[a-z0-9][-.a-z0-9]*$ ]] ||
  refuse "--claim='$claim' must name a PersistentVolumeClaim that many pods" \
    "can write (ReadWriteMany)"
[[ $accelerator =~ ^tpu[-a-z0-9]+$ ]] ||
  refuse "--accelerator='$accelerator' must be the node pool's label" \
    "cloud.google.com/gke-tpu-accelerator, as in" \
    "--accelerator=tpu-v5-lite-podslice"
[[ $topology =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
  refuse "--topology='$topology' must be the node pool's, as in --topology=4x4"
[[ $chips =~ ^[1-9][0-9]*$ ]] ||
  refuse "--chips='$chips' must be the number of chips of a host, as in --chips=4"
all=$((${topology//x/*}))
[ $((all % chips)) -eq 0 ] ||
  refuse "--chips=$chips does not divide the $all chips of --topology=$topology"

config='' workdir=''
command='"python", "-m", "etf_jax.main", "--distributed"'
for argument in "$@"; do
  case $argument in
    --config=?*) config=1 ;;
    --workdir=*) workdir=${argument#*=} ;;
  esac
  [[ $argument != *$'\n'* ]] || refuse "an argument has a line break in it"
  command+=", $(quote "$argument")"
done
[ "$config" ] || refuse "no --config=FILE was given after --"
[[ $workdir == "$mounted"/?* ]] ||
  refuse "--workdir='$workdir' must lie in $mounted, where the claim is mounted"

# shellcheck disable=SC2016 # the names in the template are not this shell's
fill_in() {
  local line
  while IFS= read -r line; do
    if [[ $line == *"# only with --spot" ]]; then
      [ "$spot" ] || continue
      line=${line%% # only*}
    fi
    line=${line//'${NAME}'/"$name"}
    line=${line//'${IMAGE}'/"$image"}
    line=${line//'${CLAIM}'/"$claim"}
    line=${line//'${ACCELERATOR}'/"$accelerator"}
    line=${line//'${TOPOLOGY}'/"$topology"}
    line=${line//'${CHIPS}'/"$chips"}
    line=${line//'${HOSTS}'/"$((all / chips))"}
    # Last, because arguments may hold anything.
    [[ $line != *'${COMMAND}' ]] || line=${line%'${COMMAND}'}[$command]
    printf '%s\n' "$line"
  done
}

jobset=$(fill_in <"$(dirname "$0")/gke_jobset.yaml")
echo "$jobset"
echo "+ kubectl apply --filename=-" >&2
[ -z "$dry_run" ] || exit 0
command -v kubectl >/dev/null || refuse "kubectl was not found: install it"
kubectl apply --filename=- <<<"$jobset"
