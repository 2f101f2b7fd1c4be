#!/usr/bin/env bash
# Unpacks nginx, HAProxy, Apache and Caddy of this Debian into a directory, for the tests of examples/proxies.
# Needs no root and changes nothing of the system: apt works on state and cache of its own, and no package is installed.
#
#   scripts/install-gateways.sh <dir>
#
# The programs are then <dir>/usr/sbin/{nginx,haproxy,apache2} and <dir>/usr/bin/caddy, with what they are linked with
# below <dir>/usr/lib. A second run finds <dir>/installed and has nothing to do.
set -euo pipefail

# Caddy is one static binary; the others come with what they are linked with.
with_libraries=(nginx haproxy apache2-bin lua-socket)
alone=(caddy)
recipe="1 ${with_libraries[*]} ${alone[*]}"

fail() {
  printf 'install-gateways: %s\n' "$@" >&2
  exit 1
}

case ${1-} in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/install-gateways.sh <dir>

Unpacks nginx, HAProxy, Apache and Caddy of this Debian into <dir>, for the tests of examples/proxies. Needs no root and
changes nothing of the system. The programs are then <dir>/usr/sbin/{nginx,haproxy,apache2} and <dir>/usr/bin/caddy. A second run has
nothing to do.
USAGE
    exit 0
    ;;
  -*) fail "there is no option $1; see --help" ;;
esac
[ $# -eq 1 ] || fail 'say where: scripts/install-gateways.sh <dir>'
mkdir -p "$(dirname "$1")"
directory=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
stamp=$directory/installed

is_installed() { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$recipe" ]; }
is_installed && exit 0

for program in apt-get dpkg-deb flock; do
  command -v "$program" >/dev/null || fail \
    "there is no $program: this takes Debian's own packages and so needs Debian 12 or a relative of it." \
    'Elsewhere leave the tests of the gateways out: npx vitest run --exclude "server/test/gateways/**".'
done

# Of two runs at once the second waits, and finds everything done.
exec 9>"$directory.lock"
flock 9
is_installed && exit 0

unfinished=$(mktemp -d "$directory.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
chmod 755 "$unfinished"
work=$unfinished/apt
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,packages} "$unfinished/root"

# As root, apt would download as an account that can't write here.
apt() {
  apt-get -qq -o Dir::State="$work/state" -o Dir::Cache="$work/cache" -o Dir::State::status=/var/lib/dpkg/status \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=2 -o Debug::NoLocking=1 \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# One of the machine's other sources may be out of order; what counts is whether the packages are found.
apt update 2>"$work/errors" || true
wanted=$(apt install --simulate --no-install-recommends "${with_libraries[@]}" 2>>"$work/errors") || fail \
  'apt finds no nginx, haproxy, apache2-bin and lua-socket. It says:' "$(cat "$work/errors")" \
  'Is there a network, and do /etc/apt/sources.list and /etc/apt/sources.list.d name a Debian mirror?'
mapfile -t packages < <(
  { awk '$1 == "Inst" { print $2 }' <<<"$wanted" && printf '%s\n' "${with_libraries[@]}" "${alone[@]}"; } | sort -u
)
(cd "$work/packages" && apt download "${packages[@]}") 2>"$work/errors" || fail \
  'apt could not download the packages. It says:' "$(cat "$work/errors")" 'Is there a network? Try again.'

{
  echo "$recipe"
  for package in "$work"/packages/*.deb; do
    dpkg-deb -x "$package" "$unfinished/root"
    dpkg-deb --show --showformat '${Package} ${Version}\n' "$package"
  done
} >"$unfinished/installed"
mv "$unfinished/installed" "$unfinished/root/installed"

rm -rf "$directory"
mv -T "$unfinished/root" "$directory"
