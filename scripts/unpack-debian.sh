# Sourced by the scripts that fetch programs of Debian for tests. Needs no root and changes nothing of the system: apt works
# on state and cache of its own, and no package is installed, only unpacked.
#
# The caller has set
#   name             what messages begin with
#   with_libraries   packages that come with what they are linked with
#   alone            packages that do not
#   without_tests    how to leave out the tests that need them
#   revision         changes with what the script does beyond the list of packages

fail() {
  printf "$name: %s\n" "$@" >&2
  exit 1
}

is_installed() { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$recipe" ]; }

# As root, apt would download as an account that can't write here.
apt() {
  apt-get -qq -o Dir::State="$work/state" -o Dir::Cache="$work/cache" -o Dir::State::status=/var/lib/dpkg/status \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=2 -o Debug::NoLocking=1 \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# unpack_debian <dir>: the packages below <dir>, unless they are there already; of two runs at once the second waits, and
# finds everything done.
unpack_debian() {
  local unfinished wanted packages program package
  mkdir -p "$(dirname "$1")"
  directory=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  stamp=$directory/installed
  recipe="$revision ${with_libraries[*]}${alone[*]:+ ${alone[*]}}"
  if is_installed; then return; fi

  for program in apt-get dpkg-deb flock; do
    command -v "$program" >/dev/null || fail \
      "there is no $program: this takes Debian's own packages and so needs Debian 12 or a relative of it." \
      "$without_tests"
  done
  exec 9>"$directory.lock"
  flock 9
  if is_installed; then return; fi

  unfinished=$(mktemp -d "$directory.XXXXXX")
  # shellcheck disable=SC2064  # the directory of now
  trap "rm -rf '$unfinished'" EXIT
  chmod 755 "$unfinished"
  work=$unfinished/apt
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,packages} "$unfinished/tree"

  # One of the machine's other sources may be out of order; what counts is whether the packages are found.
  apt update 2>"$work/errors" || true
  wanted=$(apt install --simulate --no-install-recommends "${with_libraries[@]}" 2>>"$work/errors") || fail \
    "apt does not find ${with_libraries[*]}. It says:" "$(cat "$work/errors")" \
    'Is there a network, and do /etc/apt/sources.list and /etc/apt/sources.list.d name a Debian mirror?'
  mapfile -t packages < <(
    { awk '$1 == "Inst" { print $2 }' <<<"$wanted" && printf '%s\n' "${with_libraries[@]}" "${alone[@]}"; } | sort -u
  )
  (cd "$work/packages" && apt download "${packages[@]}") 2>"$work/errors" || fail \
    'apt could not download the packages. It says:' "$(cat "$work/errors")" 'Is there a network? Try again.'

  {
    echo "$recipe"
    for package in "$work"/packages/*.deb; do
      dpkg-deb -x "$package" "$unfinished/tree"
      dpkg-deb --show --showformat '${Package} ${Version}\n' "$package"
    done
  } >"$unfinished/installed"
  # Unpacked by root, a program that is setuid would be so here, where nobody looks after it.
  chmod -R ug-s "$unfinished/tree"
  mv "$unfinished/installed" "$unfinished/tree/installed"

  rm -rf "$directory"
  mv -T "$unfinished/tree" "$directory"
}
