#!/bin/sh
# The whole suite, or the files that are named. In three runs, one after the other: a worker keeps in memory what each of its
# files has left, and with all of them in two workers it collected garbage for a third of the time.
if [ $# -gt 0 ]; then exec vitest run "$@"; fi
status=0
for part in 1 2 3; do
  vitest run --shard="$part/3" || status=1
done
exit "$status"
