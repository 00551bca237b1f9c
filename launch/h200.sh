#!/usr/bin/env bash
# The whole study on a host with H200s:  launch/h200.sh OUTPUT_FOLDER [MORE FLAGS OF study.sweep]
set -euo pipefail
out=${1:?usage: launch/h200.sh OUTPUT_FOLDER [MORE FLAGS OF study.sweep]}
[[ $out != -* ]] || { echo "usage: launch/h200.sh OUTPUT_FOLDER [MORE FLAGS OF study.sweep]; found $out for the folder" >&2; exit 1; }
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m study.sweep --study all-models --gpu h200 --out "$out" "${@:2}"
