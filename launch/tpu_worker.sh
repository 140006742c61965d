#!/usr/bin/env bash
# What tpu_pod.sh has every worker of a TPU VM do. Not to be called by hand.
#
#   bash etf_jax_worker.sh install REVISION
#   bash etf_jax_worker.sh mount gs://BUCKET|HOST:/EXPORT FOLDER
#   bash etf_jax_worker.sh run NAME REVISION [arguments of etf_jax.main]
#   bash etf_jax_worker.sh stop NAME
set -euo pipefail

refuse() {
  echo "error: $(hostname): $*" >&2
  exit 2
}

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

# One folder for each revision: a run that goes on keeps its own code.
install_package() {
  local home=$HOME/etf_jax-$1
  [ ! -e "$home/.installed" ] || return 0
  rm -rf "$home"
  run git clone --quiet "$HOME/etf_jax-$1.bundle" "$home"
  # The images come with a Python that is too old; uv brings one.
  PIP_BREAK_SYSTEM_PACKAGES=1 run python3 -m pip install --quiet --user uv
  run python3 -m uv venv --quiet --python=3.12 --seed "$home/.venv"
  run "$home/.venv/bin/python" -m pip install --quiet \
    --editable "${home}[tpu]"
  touch "$home/.installed"
}

mount_folder() {
  local there
  if there=$(findmnt --noheadings --output=SOURCE --mountpoint "$2"); then
    [ "$there" = "${1#gs://}" ] || refuse "$2 is $there already, not $1"
    return
  fi
  run sudo install --directory --owner="$(id -un)" "$2"
  case $1 in
    gs://*)
      command -v gcsfuse >/dev/null || install_gcsfuse
      # Without caches of names: what one worker writes the others must see.
      run gcsfuse --implicit-dirs --metadata-cache-ttl-secs=0 \
        --metadata-cache-negative-ttl-secs=0 "${1#gs://}" "$2"
      ;;
    *)
      run sudo apt-get install --yes --quiet nfs-common
      run sudo mount -t nfs -o hard "$1" "$2"
      ;;
  esac
  [ -w "$2" ] || refuse "$2 ($1) cannot be written by $(id -un)"
}

install_gcsfuse() {
  local packages=https://packages.cloud.google.com/apt
  local key=/usr/share/keyrings/cloud.google.asc
  run sudo curl --fail --silent --show-error --output "$key" \
    "$packages/doc/apt-key.gpg"
  echo "deb [signed-by=$key] $packages gcsfuse-$(lsb_release -cs) main" |
    run sudo tee /etc/apt/sources.list.d/gcsfuse.list
  run sudo apt-get update --quiet
  run sudo apt-get install --yes --quiet gcsfuse
}

running() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  # A number may have gone to another process since.
  grep --quiet --text etf_jax.main "/proc/$pid/cmdline" 2>/dev/null
}

# Training outlives the connection it was started from. The same command finds
# it again; another one is refused as long as it runs. The exit code is that of
# the training, or 130 where --stop has ended it.
train() {
  local name=$1 python=$HOME/etf_jax-$2/.venv/bin/python
  shift 2
  local folder=$HOME/etf_jax-runs/$name start=1 command
  mkdir -p "$folder"
  command=$(printf ' %q' "$python" -m etf_jax.main --distributed "$@")
  if running "$folder"; then
    [ "$(cat "$folder/command")" = "$command" ] ||
      refuse "another command runs here:$(cat "$folder/command"); end it" \
        "with: bash launch/tpu_pod.sh --name=$name --zone=ZONE --stop"
    echo "# $(hostname): found again, going on since $(date -r "$folder/pid")"
    start=$(($(stat --format=%s "$folder/log") + 1))
  else
    rm -f "$folder/pid" "$folder/exit_code" "$folder/stopped"
    echo "$command" >"$folder/command"
    touch "$folder/log"
    start=$(($(stat --format=%s "$folder/log") + 1))
    echo "+$command"
    # shellcheck disable=SC2016 # for the shell that stays behind
    FOLDER=$folder setsid bash -c '
      "$@" &
      echo "$!" >"$FOLDER/pid.new"
      mv "$FOLDER/pid.new" "$FOLDER/pid"
      wait "$!"
      echo "$?" >"$FOLDER/exit_code"
    ' bash "$python" -m etf_jax.main --distributed "$@" \
      </dev/null >>"$folder/log" 2>&1 &
    until [ -e "$folder/pid" ]; do sleep 0.1; done
  fi
  tail --follow --sleep-interval=0.5 --pid="$(cat "$folder/pid")" \
    --bytes="+$start" "$folder/log"
  for _ in {1..50}; do
    if [ -e "$folder/exit_code" ]; then
      [ ! -e "$folder/stopped" ] || exit 130
      exit "$(cat "$folder/exit_code")"
    fi
    sleep 0.1
  done
  echo "error: $(hostname): the run ended without an exit code" >&2
  exit 1
}

stop() {
  local folder=$HOME/etf_jax-runs/$1
  # First: once one worker is told, all of them end.
  [ ! -d "$folder" ] || touch "$folder/stopped"
  if ! running "$folder"; then
    echo "# $(hostname): nothing to stop"
    return
  fi
  run kill -TERM "$(cat "$folder/pid")"
  tail --follow --sleep-interval=0.5 --pid="$(cat "$folder/pid")" /dev/null
}

step=${1:-nothing}
[ $# -eq 0 ] || shift
case $step in
  install) install_package "$@" ;;
  mount) mount_folder "$@" ;;
  run) train "$@" ;;
  stop) stop "$@" ;;
  *) refuse "$step is not install, mount, run or stop" ;;
esac
