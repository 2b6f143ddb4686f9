#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in at most ten minutes: the tests marked gpu; every shipped model beside ONNX Runtime
# on the CPU; networks by CUDA graph and call by call, host to host, and their share of the GPU's peak; whole pipelines;
# whether two pairs are in flight, by a timeline; memory over 10,000 frames; engines. A table of it all at the end.
# Usage: test/gpu.sh [--dry-run] [FOLDER]   JSON, plots, logs, engines and FOLDER/README.md (default: gpu_figures)
#   --dry-run  every step on a CPU, at a small size: whether the script works; no figure of it is one of a GPU
#   PYTHON     the Python that has the package and its test extra (default: .venv/bin/python)
#   WHEELS     a folder of wheels for a machine without internet: those that PYTHON (default then: python3) lacks are
#              unpacked into FOLDER/site, so its own torch stays. Filled elsewhere, 150 MB, by
#                pip download --dest WHEELS --python-version 3.12 --only-binary :all: -c constraints.txt \
#                  numpy opencv-python-headless onnx onnxruntime rosbags PyYAML tqdm simplejpeg matplotlib \
#                  pytest pytest-randomly hypothesis cuda-bindings
#              or, where numpy, OpenCV, onnx, onnxruntime, matplotlib and pytest are there already, 10 MB, by the same
#              with --no-deps and: rosbags ruamel.yaml lz4 apsw backports.zstd simplejpeg pytest-randomly hypothesis
#   BUDGET     seconds for all steps (default: 600), LIMIT for one of them (default: 180), both six times that in a dry
#              run; what is cut off or not reached by that is "not run" in the table
# Each step says its status and seconds; one that fails does not keep the others from running.
set -uo pipefail
cd "$(dirname "$0")/.."
dry=()
if [ "${1:-}" = --dry-run ]; then
  dry=(--cpu)
  shift
fi
out=${1:-gpu_figures${dry:+_dry_run}}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-.venv/bin/python}
if [ -n "${WHEELS:-}" ]; then
  python=${PYTHON:-python3}
  "$python" test/gpu_wheels.py "$WHEELS" "$out/site" || exit 1
  export PYTHONPATH="$out/site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export IVFUSION_ENGINES="$out/engines"
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
fusion=(refinefuse refinefuse_lite mda transfusion mst)
detector=${DETECTOR:-yolov5n}
size=640x480 rounds=50 pairs=300 frames=10000
budget=${BUDGET:-600} limit=${LIMIT:-180}
if [ -n "${dry:+yes}" ]; then
  size=64x48 rounds=2 pairs=10 frames=100
  # On a machine with other work, steps take their time, and threads that wait for each other longer than one.
  budget=${BUDGET:-3600} limit=${LIMIT:-1080}
  export OMP_NUM_THREADS=1
fi
read -r -a backends <<<"$("$python" test/gpu_figures.py backends "${dry[@]}")"
[ "${#backends[@]}" -gt 0 ] || exit 1
has() { [[ " ${backends[*]} " == *" $1 "* ]]; }
plot() { "$python" -c 'import matplotlib' 2>/dev/null && printf -- '--plot %s' "$out/$1.png"; }
rm -f "$out"/*.json "$out"/*.png "$out"/*.log "$out/steps.tsv"
status=0

step() {  # NAME COMMAND...: its output goes to FOLDER/NAME.log too
  local name=$1 begin=$SECONDS left=$((budget - SECONDS)) result=124
  shift
  if [ "$left" -gt 0 ]; then
    [ "$left" -lt "$limit" ] || left=$limit
    timeout --kill-after=10 "$left" "$@" 2>&1 | tee "$out/$name.log"
    result=$?
  fi
  [ "$result" -eq 0 ] || status=1
  printf '%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - begin))" >>"$out/steps.tsv"
}
iv=("$python" -m ivfusion_ros.cli)
figures=("$python" test/gpu_figures.py)
files=(test/backends/test_cuda.py test/backends/test_tensorrt_backend.py test/backends/test_torch_cuda.py)

step doctor "${iv[@]}" doctor --json "$out/doctor.json"
step tests "$python" -m pytest -p no:randomly -q -m gpu "${files[@]}"
step parity "${figures[@]}" parity --backends "${backends[@]}" --size "$size" --json "$out/parity.json"
step graphs "${figures[@]}" graphs "${dry[@]}" --size "$size" --runs "$rounds" --json "$out/graphs.json"
# shellcheck disable=SC2046
step networks "${iv[@]}" bench --model "${fusion[@]}" --backend "${backends[@]}" --size "$size" --rounds "$rounds" \
  --roofline --profile --json "$out/networks.json" $(plot networks)
for backend in "${backends[@]}"; do
  step "timeline_$backend" "${figures[@]}" timeline --backends "$backend" --size "$size" --pairs "$pairs" \
    --detector "$detector" --json "$out/timeline_$backend.json"
done
if has tensorrt; then
  step engines_half "${iv[@]}" engine "${fusion[@]}" "$detector" --half --json "$out/engines_half.json"
  step engines_f32 "${iv[@]}" engine "${fusion[@]}" --json "$out/engines_f32.json"
fi
if has tensorrt || [ -n "${dry:+yes}" ]; then
  # shellcheck disable=SC2046
  step pipeline "${iv[@]}" bench --model refinefuse refinefuse_lite --backend "${backends[0]}" --detector "$detector" \
    --size "$size" --rounds "$pairs" --json "$out/pipeline.json" $(plot pipeline)
fi
step memory "${figures[@]}" memory --backends "${backends[@]}" --size "$size" --frames "$frames" \
  --json "$out/memory.json"
budget=$((SECONDS + 60)) step table "${figures[@]}" table "${dry[@]}" "$out"
cat "$out/README.md"
exit "$status"
