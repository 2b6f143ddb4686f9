#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the tests marked gpu, engines of all models, and the benchmark.
# Usage: test/gpu.sh [FOLDER]   figures, plot and engines go there (default: gpu_figures)
# Needs the package with its test extra, CUDA's torch for the torch backend, and a TensorRT: `ivfusion doctor`
# says what is missing. DETECTOR names a detection model for the pipelines, if none ships.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_figures}
mkdir -p "$out"
bin=$(dirname "$(command -v "${PYTHON:-.venv/bin/python}")")
export IVFUSION_ENGINES="$out/engines"
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
models=(refinefuse mda transfusion mst)
detector=(${DETECTOR:+--detector "$DETECTOR"})
status=0

"$bin/ivfusion" doctor --json "$out/doctor.json" || status=1
"$bin/python" -m pytest -m gpu test 2>&1 | tee "$out/tests.log" || status=1
"$bin/ivfusion" engine "${models[@]}" --half --json "$out/engines_half.json" || status=1
"$bin/ivfusion" engine "${models[@]}" --json "$out/engines_f32.json" || status=1
"$bin/ivfusion" bench --model "${models[@]}" --backend torch tensorrt --rounds 200 --roofline \
  --json "$out/networks.json" --plot "$out/networks.png" || status=1
"$bin/ivfusion" bench --model refinefuse --backend tensorrt "${detector[@]}" --rounds 500 --roofline \
  --json "$out/pipeline.json" --plot "$out/pipeline.png" || status=1
exit "$status"
