#!/usr/bin/env bash
# Unpacks Postgres 15 of Debian 12 into a directory, for tests on the oldest Postgres that works as DATABASE_URL.
# Needs no root and changes nothing of the system: apt works on state and cache of its own, and no package is installed.
#
#   scripts/install-postgres-15.sh <dir>
#
# The programs are then <dir>/usr/lib/postgresql/15/bin/{postgres,initdb}, with what they are linked with below <dir>/usr/lib. A
# second run finds <dir>/installed and has nothing to do.
set -euo pipefail

name=install-postgres-15
with_libraries=(postgresql-15)
alone=()
revision=1
without_tests='Elsewhere leave these tests out: they are not part of "npm test".'
. "$(dirname "${BASH_SOURCE[0]}")/unpack-debian.sh"

case ${1-} in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/install-postgres-15.sh <dir>

Unpacks Postgres 15 of Debian 12 into <dir>, for tests on the oldest Postgres that works as DATABASE_URL. Needs no root and
changes nothing of the system. The programs are then <dir>/usr/lib/postgresql/15/bin/{postgres,initdb}. A second run has
nothing to do.
USAGE
    exit 0
    ;;
  -*) fail "there is no option $1; see --help" ;;
esac
[ $# -eq 1 ] || fail 'say where: scripts/install-postgres-15.sh <dir>'
unpack_debian "$1"
