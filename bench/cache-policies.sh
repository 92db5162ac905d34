#!/usr/bin/env bash
# Sharing and cache policies, each alone and combined: perplexity, memory and speed, as a Markdown table.
#
#   bench/cache-policies.sh [MODEL [POLICIES [TEXT]]]
#
# MODEL     a model as of `kvshare --model`; "builtin" or nothing: the built-in one
# POLICIES  sharing policies of that model, separated by commas; "default" or nothing: four layers by --method
#           similar without repair, as in the KVSharer paper's comparison, and four by auto with repair
# TEXT      the text to measure on; nothing: that of `kvshare eval`
#
# BUDGET (default 25%), WINDOWS (12), THREADS (1) and ROUNDS (3; 0 leaves the speed out) may be set in the environment,
# and FOLDER, where the two default policies are kept for another run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
model=()
text=()
if [[ ${1:-builtin} != builtin ]]; then model=(--model "$(realpath "$1")"); fi
if [[ -n ${3:-} ]]; then text=(--text "$(realpath "$3")"); fi
if [[ -n ${FOLDER:-} ]]; then
  mkdir -p "$FOLDER"
  folder=$(realpath "$FOLDER")
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
names=()
if [[ ${2:-default} == default ]]; then
  calibrate() { # NAME, then options
    names+=("$1")
    if [[ -e $folder/$1 ]]; then return; fi
    "$root/kvshare" calibrate "${model[@]}" --share-layers 4 "${@:2}" --out "$folder/$1" --no-report --quiet >&2
  }
  calibrate similar-4.json --method similar
  calibrate auto-4-repaired.json --method auto
else
  IFS=, read -ra given <<<"$2"
  for policy in "${given[@]}"; do
    names+=("$(basename "$policy")")
    cp "$policy" "$folder"
    if [[ -e ${policy%.json}.safetensors ]]; then cp "${policy%.json}.safetensors" "$folder"; fi
  done
fi
speed=(--rounds "${ROUNDS:-3}")
if [[ ${ROUNDS:-3} == 0 ]]; then speed=(--no-speed); fi
cd "$folder"
policies=()
for name in "${names[@]}"; do policies+=(--policy "$name"); done
"$root/kvshare" eval "${model[@]}" "${text[@]}" "${policies[@]}" --threads "${THREADS:-1}" \
  --cache h2o,pyramid,snapkv,streaming-llm,int8,h2o+int8 --cache-budget "${BUDGET:-25%}" --cache-window 16 \
  --passages "${WINDOWS:-12}" "${speed[@]}" --format markdown --quiet
