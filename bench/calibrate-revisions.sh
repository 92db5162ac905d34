#!/usr/bin/env bash
# One calibration by two revisions of kvshare, in turns: what a change of the search saves.
#
#   bench/calibrate-revisions.sh REVISION MODEL TEXT [OPTION...]
#
# REVISION  a commit of this repository, measured beside the one that is checked out
# MODEL     a model as of `kvshare --model`
# TEXT      a text file, on which both policies are measured at the end: 4 passages of 2,048 tokens
# OPTION    options of calibrate that both revisions take; nothing: --keep 50% --context 2048
#
# ROUNDS (default 1) may be set in the environment. Each row is a process of its own, from start to report. Prints its
# time, processor time and peak resident memory, then the perplexity of both policies.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
revision=$1 model=$(realpath "$2") text=$(realpath "$3")
shift 3
if [[ $# == 0 ]]; then set -- --keep 50% --context 2048; fi
folder=$(mktemp -d)
trap 'git -C "$root" worktree remove --force "$folder/before" 2>&-; rm -rf "$folder"' EXIT
git -C "$root" worktree add --quiet --detach "$folder/before" "$revision"
"$folder/before/kvshare" --version >&2
"$root/kvshare" --version >&2
cd "$folder"
for _ in $(seq "${ROUNDS:-1}"); do
  for which in before after; do
    home=$root
    if [[ $which == before ]]; then home=$folder/before; fi
    /usr/bin/time -f "$which %e s, %U + %S s of processor time, %M KiB" -o time.txt \
      "$home/kvshare" calibrate --model "$model" --out "$which.json" --force --quiet "$@" >"$which.txt"
    cat time.txt
    head -3 "$which.txt"
  done
done
"$root/kvshare" eval --model "$model" --text "$text" --passages 4 --passage-tokens 2048 --no-speed --no-baselines \
  --policy before.json --policy after.json
