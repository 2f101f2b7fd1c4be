#!/usr/bin/env bash
# Unpacks Exim of this Debian into a directory, for the tests of outgoing mail.
# Needs no root and changes nothing of the system: apt works on state and cache of its own, and no package is installed.
#
#   scripts/install-mail-server.sh <dir>
#
# The program is then <dir>/usr/sbin/exim4, with what it is linked with below <dir>/usr/lib. A second run finds
# <dir>/installed and has nothing to do.
set -euo pipefail

# Debian's Exim looks up an account of its own, Debian-exim, at every start; nss_wrapper tells it of one where there is none.
name=install-mail-server
with_libraries=(exim4-daemon-light libnss-wrapper)
alone=()
revision=1
without_tests='Elsewhere leave the tests with a mail server out: npx vitest run --exclude "server/test/mail/**".'
. "$(dirname "${BASH_SOURCE[0]}")/unpack-debian.sh"

case ${1-} in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/install-mail-server.sh <dir>

Unpacks Exim of this Debian into <dir>, for the tests of outgoing mail. Needs no root and changes nothing of the system. The
program is then <dir>/usr/sbin/exim4. A second run has nothing to do.
USAGE
    exit 0
    ;;
  -*) fail "there is no option $1; see --help" ;;
esac
[ $# -eq 1 ] || fail 'say where: scripts/install-mail-server.sh <dir>'
unpack_debian "$1"
