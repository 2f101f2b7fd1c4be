#!/usr/bin/env bash
# Unpacks Python of this Debian with PyJWT into a directory, for the test that reads our tokens in another language.
# Needs no root and changes nothing of the system: apt works on state and cache of its own, and no package is installed.
#
#   scripts/install-python-jwt.sh <dir>
#
# The program is then <dir>/usr/bin/python3, its modules below <dir>/usr/lib. A second run finds <dir>/installed and has
# nothing to do.
set -euo pipefail

# Python itself is named, for apt leaves out what the system has.
name=install-python-jwt
with_libraries=(python3-jwt python3-cryptography)
alone=(python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3-cffi-backend libexpat1 zlib1g libssl3 libffi8)
revision=1
without_tests='Elsewhere leave that test out: npx vitest run --exclude server/test/sign-in.test.ts'
. "$(dirname "${BASH_SOURCE[0]}")/unpack-debian.sh"

case ${1-} in
  -h | --help)
    cat <<'USAGE'
Usage: scripts/install-python-jwt.sh <dir>

Unpacks Python of this Debian with PyJWT into <dir>, for the test that reads our tokens in another language. Needs no root
and changes nothing of the system. The program is then <dir>/usr/bin/python3. A second run has nothing to do.
USAGE
    exit 0
    ;;
  -*) fail "there is no option $1; see --help" ;;
esac
[ $# -eq 1 ] || fail 'say where: scripts/install-python-jwt.sh <dir>'
unpack_debian "$1"
