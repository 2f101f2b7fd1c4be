#!/usr/bin/env bash
# Unpacks nginx, HAProxy, Apache and Caddy of this Debian into a directory, for the tests of examples/proxies, and Apache's
# mod_auth_openidc for those of relying parties. Needs no root and changes nothing of the system: apt works on state and
# cache of its own, and no package is installed.
#
#   scripts/install-gateways.sh <dir>
#
# The programs are then <dir>/usr/sbin/{nginx,haproxy,apache2} and <dir>/usr/bin/caddy, with what they are linked with
# below <dir>/usr/lib. A second run finds <dir>/installed and has nothing to do.
set -euo pipefail

# Caddy is one static binary; the others come with what they are linked with.
name=install-gateways
with_libraries=(nginx haproxy apache2-bin libapache2-mod-auth-openidc lua-socket)
alone=(caddy)
revision=1
without_tests='Elsewhere leave the tests of the gateways out: npx vitest run --exclude "server/test/gateways/**".'
. "$(dirname "${BASH_SOURCE[0]}")/unpack-debian.sh"

case ${1-} in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/install-gateways.sh <dir>

Unpacks nginx, HAProxy, Apache and Caddy of this Debian into <dir>, for the tests of examples/proxies, and Apache's
mod_auth_openidc for those of relying parties. Needs no root and changes nothing of the system. The programs are then
<dir>/usr/sbin/{nginx,haproxy,apache2} and <dir>/usr/bin/caddy. A second run has nothing to do.
USAGE
    exit 0
    ;;
  -*) fail "there is no option $1; see --help" ;;
esac
[ $# -eq 1 ] || fail 'say where: scripts/install-gateways.sh <dir>'
unpack_debian "$1"
