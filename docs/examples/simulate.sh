#!/bin/sh
# What does ε = 1 cost 40 devices in accuracy? Makes a table, then runs the same rounds with and without privacy.
#
# usage: docs/examples/simulate.sh [DEVICES [ROUNDS]]      from a clone, with .venv/bin on the path
set -eu
devices=${1:-40} rounds=${2:-10}
table=$(mktemp -d)/rows.npz
trap 'rm -rf "$(dirname "$table")"' EXIT
common="--data $table --devices $devices --rounds $rounds --model logistic --seed 1"

python "$(dirname "$0")/make_table.py" "$table" --devices "$devices"
echo "--- ε = 1"
aegis simulate $common --epsilon 1 --no-machines 2>/dev/null
echo "--- no privacy, for comparison"
aegis simulate $common --plain --top-k 116 2>/dev/null
