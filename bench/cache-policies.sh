#!/usr/bin/env bash
# Sharing and cache policies, each alone and combined: perplexity, memory and speed, as a Markdown table.
#
#   bench/cache-policies.sh [MODEL [POLICY [TEXT]]]
#
# MODEL   a model as of `kvshare --model`; "builtin" or nothing: the built-in one
# POLICY  a sharing policy of that model; "similar" or nothing: four layers by --strategy similar
# TEXT    the text to measure on; nothing: that of `kvshare eval`
#
# BUDGET (default 25%), WINDOWS (12), THREADS (1) and ROUNDS (3) may be set in the environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
model=()
text=()
if [[ ${1:-builtin} != builtin ]]; then model=(--model "$(realpath "$1")"); fi
if [[ -n ${3:-} ]]; then text=(--text "$(realpath "$3")"); fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [[ ${2:-similar} == similar ]]; then
  name=similar-4.json
  "$root/kvshare" calibrate "${model[@]}" --strategy similar --share-layers 4 --out "$folder/$name" \
    --no-report --quiet >&2
else
  name=$(basename "$2")
  cp "$2" "$folder"
  if [[ -e ${2%.json}.safetensors ]]; then cp "${2%.json}.safetensors" "$folder"; fi
fi
cd "$folder"
"$root/kvshare" eval "${model[@]}" "${text[@]}" --policy "$name" --threads "${THREADS:-1}" \
  --cache h2o,pyramid,snapkv,streaming-llm,int8,h2o+int8 --cache-budget "${BUDGET:-25%}" --cache-window 16 \
  --windows "${WINDOWS:-12}" --rounds "${ROUNDS:-3}" --format markdown --quiet
