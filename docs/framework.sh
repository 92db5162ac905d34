#!/usr/bin/env bash
# Measures the tables of docs/framework.md: every scheme of the papers on the built-in model and on a second one.
#
#   docs/framework.sh OUT_DIR [MODEL TEXT]
#
# MODEL is a directory or .gguf file, TEXT a text for its perplexity. Without them the built-in model alone is measured.
# The numbers of seconds and tokens a second mean something on an otherwise idle machine only.
set -eu
out=$1
here=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "$out"

measure() { # NAME, then the options that name model and text
  local name=$1 scheme
  shift
  local policies=()
  for scheme in cla-2 cla-3 yoco mixattention lckv; do
    "$here/kvshare" calibrate "${@:1:model_words}" --scheme "$scheme" --sliding-window 64 --no-repair \
      --out "$out/$name-$scheme.json" --force --quiet > /dev/null
    policies+=(--policy "$out/$name-$scheme.json")
  done
  "$here/kvshare" eval "$@" "${policies[@]}" --windows 4 --window 256 --format markdown > "$out/$name-named.md"
  "$here/kvshare" eval "$@" --sweep --windows 4 --window 256 --format markdown > "$out/$name-sweep.md"
}

model_words=0
measure builtin
if [ $# -ge 3 ]; then
  model_words=2
  measure model --model "$2" --text "$3"
fi
