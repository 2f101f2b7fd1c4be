#!/usr/bin/env bash
# Does what a newcomer does, from nothing: clones the last commit into an empty folder, with an empty npm cache, and
# tries every promise of the README's first minute. Twice: as root under a 0700 home, and as an ordinary user.
#
#   scripts/fresh-clone.sh                    as root; makes a throw-away user for the second round
#   scripts/fresh-clone.sh --this-user-only   as an ordinary user, or to leave one round out knowingly
#
# Needs bash, git, curl, npm and Linux' /proc. Nothing is left behind but the system account `gatelodge`, which the
# server makes for its Postgres when root runs it.
set -euo pipefail

readonly ready_limit_s=90      # first start: initdb and migrations on a cold machine
readonly second_start_limit_ms=3000
readonly stop_limit_s=15
script=$(realpath "${BASH_SOURCE[0]}")

say() { printf '== %s: %s\n' "${round_name:-fresh-clone}" "$*"; }
fail() {
  printf '** %s: %s\n' "${round_name:-fresh-clone}" "$*" >&2
  exit 1
}
now_ms() { date +%s%3N; }

# --- one round, run as its user: --round <name> <bundle> <empty directory of its own> -----------------------------

# Pids whose program, directory or command line lies in the clone, or names its installation.
processes_of_clone() {
  local id pid link
  id=$(cat "$work/installation-id" 2>/dev/null || echo none)
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] && continue
    for link in exe cwd; do
      case "$(readlink "/proc/$pid/$link" 2>/dev/null || true)/" in
        "$clone/"* | */gatelodge/"$id"/*) echo "$pid" && continue 2 ;;
      esac
    done
    case "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true)" in
      *"$clone/"* | *"/gatelodge/$id/"*) echo "$pid" ;;
    esac
  done
}

npm_pid=
end_round() {
  local pid
  [ -z "$npm_pid" ] || kill -TERM "$npm_pid" 2>/dev/null || true
  for _ in $(seq 20); do
    [ -n "$(processes_of_clone)" ] || return 0
    sleep 0.2
  done
  for pid in $(processes_of_clone); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Starts `npm start` on $port and waits for /readyz; its output goes to $work/start.log, the time to $started_ms.
start_and_wait() {
  local begun
  begun=$(now_ms)
  (cd "$clone" && GATELODGE_PORT=$port exec npm start) >"$work/start.log" 2>"$work/start.err" &
  npm_pid=$!
  until [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/readyz" || true)" = 200 ]; do
    kill -0 "$npm_pid" 2>/dev/null || { show_logs && fail 'npm start ended before it was ready'; }
    if (($(now_ms) - begun > ready_limit_s * 1000)); then show_logs && fail "not ready within $ready_limit_s s"; fi
    sleep 0.05
  done
  started_ms=$(($(now_ms) - begun))
  cp "$clone/data/installation-id" "$work/installation-id"
}

show_logs() { tail -n 40 "$work/start.log" "$work/start.err" >&2; }

# SIGTERM to npm alone, which has to pass it on; then nothing of the clone may be left running.
stop_and_check() {
  local begun left pid
  begun=$(now_ms)
  kill -TERM "$npm_pid"
  while left=$(processes_of_clone) && [ -n "$left" ]; do
    if (($(now_ms) - begun > stop_limit_s * 1000)); then
      for pid in $left; do tr '\0' ' ' <"/proc/$pid/cmdline" >&2 && echo >&2; done
      fail "still running $stop_limit_s s after SIGTERM to npm: $(echo $left)"
    fi
    sleep 0.1
  done
  wait "$npm_pid" || true
  npm_pid=
  say "SIGTERM to npm stopped everything, Postgres included, in $(($(now_ms) - begun)) ms"
}

# The lines between "Try it:" and the next empty line, as they were printed.
printed_call() { awk 'found && /^[[:space:]]*$/ { exit } found { print } /Try it:/ { found = 1 }' "$work/start.log"; }

try_printed_call() {
  local call answer
  for _ in $(seq 50); do
    call=$(printed_call)
    [ -z "$call" ] || break
    sleep 0.1
  done
  [[ $call =~ (^|[[:space:]])curl\ -sS\ http ]] || { show_logs && fail 'start printed no curl line after "Try it:"'; }
  answer=$(cd "$clone" && bash -euo pipefail -c "$call" 2>"$work/call.err") || {
    cat "$work/call.err" >&2
    fail "the printed line failed: $call"
  }
  grep -qE '"valid": ?true' <<<"$answer" || fail "the printed line verified nothing: $answer"
  say 'the printed curl line verified the demo key'
}

read_bootstrap() { node -p 'JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).api_key[process.argv[2]]' "$clone/data/bootstrap.json" "$1"; }

try_api_key() {
  local status
  [ "$(stat -c %a "$clone/data/bootstrap.json")" = 600 ] || fail 'data/bootstrap.json can be read by others'
  status=$(curl -s -o "$work/me.json" -w '%{http_code}' -u "$(read_bootstrap id):$(read_bootstrap secret)" "http://127.0.0.1:$port/v1/me")
  [ "$status" = 200 ] || fail "GET /v1/me with the first key answered $status: $(cat "$work/me.json")"
  say 'GET /v1/me with the first API key: 200'
}

run_round() {
  round_name=$1
  local bundle=$2 begun
  work=$3
  clone=$work/gatelodge
  trap end_round EXIT
  umask 022
  export HOME=$work npm_config_cache=$work/npm-cache
  cd "$work"
  say "user $(id -un), in $clone ($(stat -c %a "$work")), system node $(node --version), npm $(npm --version)"
  git -c advice.detachedHead=false clone -q "$bundle" "$clone"
  port=$(node -p 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); }); ""' | grep .)

  begun=$(now_ms)
  (cd "$clone" && npm ci --no-fund --no-audit) >"$work/ci.log" 2>&1 || { head -n 40 "$work/ci.log" >&2 && fail 'npm ci failed'; }
  say "npm ci: $(($(now_ms) - begun)) ms"
  start_and_wait
  say "first start to /readyz: $started_ms ms"
  try_api_key
  try_printed_call
  stop_and_check
  start_and_wait
  say "second start to /readyz: $started_ms ms (limit $second_start_limit_ms ms)"
  ((started_ms <= second_start_limit_ms)) || fail 'the second start is too slow'
  try_api_key
  stop_and_check

  begun=$(now_ms)
  (cd "$clone" && npm cit --no-fund --no-audit) >"$work/cit.log" 2>&1 || {
    tail -n 120 "$work/cit.log" >&2
    fail "npm cit failed: $(grep -aE '^.{0,20} FAIL ' "$work/cit.log" | cut -c1-300 || true)"
  }
  say "npm cit: $(($(now_ms) - begun)) ms; $(sed 's/\x1b\[[0-9;]*m//g' "$work/cit.log" | grep -aE '^ *Tests ' | tr -s ' ' || true)"
  [ -z "$(processes_of_clone)" ] || fail "npm cit left running: $(processes_of_clone | tr '\n' ' ')"
}

# --- all rounds ---------------------------------------------------------------------------------------------------

base=
user=
clean_up() {
  local id
  for id in "$base"/*/installation-id; do
    [ -f "$id" ] || continue
    id=$(cat "$id")
    # What root's Gatelodge keeps outside of a 0700 home.
    if [ "$EUID" = 0 ] && [[ $id =~ ^[0-9a-f]{32}$ ]]; then rm -rf "/var/lib/gatelodge/$id"; fi
  done
  [ -z "$base" ] || rm -rf "$base"
  [ -z "$user" ] || userdel "$user" 2>/dev/null || true
}

# A clean environment, as after a login: nothing of npm's or of our own, and no node that npm put in front.
clean_run() {
  local name path keep=()
  for name in TERM LANG NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR npm_config_registry \
    http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then keep+=("$name=${!name}"); fi
  done
  path=$(tr ':' '\n' <<<"$PATH" | grep -vE '/node_modules/|node-gyp-bin' | paste -sd:)
  env -i PATH="$path" "${keep[@]}" "$@"
}

main() {
  local this_user_only=false repository
  case "${1:-}" in
    '') ;;
    --this-user-only) this_user_only=true ;;
    *) fail "usage: $0 [--this-user-only]" ;;
  esac
  if [ "$EUID" != 0 ] && ! $this_user_only; then
    fail 'the round as root can not be run by an ordinary user. Run this as root, or knowingly without it: --this-user-only'
  fi

  repository=$(git -C "$(dirname "$script")" rev-parse --show-toplevel)
  [ -z "$(git -C "$repository" status --porcelain)" ] || say 'note: uncommitted changes are not part of what is tried'
  base=$(mktemp -d /tmp/gatelodge-fresh-XXXXXX)
  trap clean_up EXIT
  chmod 755 "$base"
  # A file, because git refuses to clone a directory that belongs to somebody else.
  git -C "$repository" bundle create -q "$base/repository" HEAD
  install -m 755 "$script" "$base/fresh-clone.sh"

  if [ "$EUID" = 0 ]; then
    mkdir -m 700 "$base/root"
    clean_run USER=root bash "$base/fresh-clone.sh" --round root "$base/repository" "$base/root"
    if $this_user_only; then
      say 'NOT RUN, as asked: the round as an ordinary user'
      return
    fi
    user=glfresh$$
    useradd --no-create-home --home-dir "$base/user" --shell /bin/bash "$user"
    mkdir -m 700 "$base/user"
    chown "$user:" "$base/user"
    clean_run USER="$user" setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups \
      bash "$base/fresh-clone.sh" --round user "$base/repository" "$base/user"
    say 'both rounds passed'
  else
    mkdir -m 700 "$base/user"
    clean_run USER="$(id -un)" bash "$base/fresh-clone.sh" --round user "$base/repository" "$base/user"
    say 'NOT RUN, as asked: the round as root under a 0700 home'
  fi
}

if [ "${1:-}" = --round ]; then
  run_round "$2" "$3" "$4"
else
  main "$@"
fi
