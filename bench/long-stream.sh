#!/usr/bin/env bash
# A text without end: StreamingLLM, alone and with sharing.
#
#   bench/long-stream.sh BOOK [MODEL [POLICY]]
#
# BOOK    a text file of at least TOKENS tokens, on which perplexity is measured for each 2,000 of them
# MODEL   a model as of `kvshare --model`; "builtin" or nothing: the built-in one
# POLICY  a sharing policy of that model; "similar" or nothing: four layers by --method similar
#
# Then as many tokens are generated under sharing and StreamingLLM, with the memory after each 2,000.
# TOKENS (default 20000), BUDGET (256) and THREADS (1) may be set in the environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tokens=${TOKENS:-20000}
model=()
book=$(realpath "$1")
if [[ ${2:-builtin} != builtin ]]; then model=(--model "$(realpath "$2")"); fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [[ ${3:-similar} == similar ]]; then
  name=similar-4.json
  "$root/kvshare" calibrate "${model[@]}" --method similar --share-layers 4 --out "$folder/$name" \
    --no-report --quiet >&2
else
  name=$(basename "$3")
  cp "$3" "$folder"
  if [[ -e ${3%.json}.safetensors ]]; then cp "${3%.json}.safetensors" "$folder"; fi
fi
cd "$folder"
cache=(--cache streaming-llm --cache-budget "${BUDGET:-256}" --threads "${THREADS:-1}" --quiet)
"$root/kvshare" eval "${model[@]}" --text "$book" --policy "$name" --stream "$tokens" "${cache[@]}"
echo
"$root/kvshare" apply "${model[@]}" --policy "$name" --prompt "It was a fine morning" --max-tokens "$tokens" \
  --temperature 0.8 --ignore-eos --stats --stats-every 2000 "${cache[@]}" 2>&1 >generated.txt
