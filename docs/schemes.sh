#!/usr/bin/env bash
# Measures the tables of docs/schemes.md: every scheme of the papers, plain and repaired, on a model.
#
#   docs/schemes.sh quality|speed|all OUT_DIR [MODEL TEXT]
#
# MODEL is a directory or .gguf file and TEXT a text for its perplexity; without them it is the built-in model.
# "quality" measures everything but the speed, on a busy machine if need be; "speed" then adds the speed, on one that
# should otherwise be idle, and prints the table; "all" does both. What was computed is kept in OUT_DIR, so that a run
# that was interrupted goes on. THREADS, WINDOWS (4), WINDOW (256), REPAIR_TOKENS (20000), PROMPT (512 tokens),
# NEW (32 tokens) and ROUNDS (2) may be set in the environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
part=$1
out=$2
options=(--sweep --sweep-folder "$out" --passages "${WINDOWS:-4}" --passage-tokens "${WINDOW:-256}"
  --repair-tokens "${REPAIR_TOKENS:-20000}" --format markdown)
if [[ $# -ge 4 ]]; then options+=(--model "$3" --text "$4"); fi
if [[ -n ${THREADS:-} ]]; then options+=(--threads "$THREADS"); fi
case $part in
  quality) options+=(--no-speed) ;;
  speed | all) options+=(--prompt-tokens "${PROMPT:-512}" --new-tokens "${NEW:-32}" --rounds "${ROUNDS:-2}") ;;
  *)
    echo "what to measure is quality, speed or all, not '$part'" >&2
    exit 2
    ;;
esac
"$root/kvshare" eval "${options[@]}"
