#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in about ten minutes: the tests marked gpu, engines of all models, every network
# on TensorRT and torch beside ONNX Runtime, whole pipelines, memory over thousands of frames, and a table of it all.
# Usage: test/gpu.sh [FOLDER]   figures, plots, engines and the table FOLDER/README.md (default: gpu_figures)
#   PYTHON  the Python that has the package and its test extra (default: .venv/bin/python)
#   WHEELS  a folder of wheels for a machine without internet: the package is installed from it into FOLDER/venv,
#           beside what that Python has already, such as CUDA's torch; PYTHON is python3 then. Filled elsewhere by
#           pip download --dest WHEELS --python-version 3.12 --only-binary :all: -c constraints.txt \
#             numpy opencv-python-headless onnx onnxruntime rosbags PyYAML tqdm pytest pytest-randomly cuda-bindings
# Each step says its status and seconds; one that fails does not keep the others from running.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_figures}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-.venv/bin/python}
if [ -n "${WHEELS:-}" ]; then
  "${PYTHON:-python3}" -m venv --system-site-packages "$out/venv" || exit 1
  python="$out/venv/bin/python"
  "$python" -m pip install --quiet --no-index --find-links "$WHEELS" "$WHEELS"/*.whl || exit 1
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export IVFUSION_ENGINES="$out/engines"
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
fusion=(refinefuse refinefuse_lite mda transfusion mst)
detector=${DETECTOR:-yolov5n}
backends=$("$python" test/gpu_figures.py backends) || exit 1
status=0
rm -f "$out/steps.tsv"

step() {  # NAME COMMAND...: its output goes to FOLDER/NAME.log too
  local name=$1 begin=$SECONDS result
  shift
  "$@" 2>&1 | tee "$out/$name.log"
  result=$?
  [ "$result" -eq 0 ] || status=1
  printf '%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - begin))" >>"$out/steps.tsv"
}
iv() { "$python" -m ivfusion_ros.cli "$@"; }

step doctor iv doctor --json "$out/doctor.json"
step tests "$python" -m pytest -p no:randomly -q -m gpu test
case " $backends " in *" tensorrt "*)
  step engines_half iv engine "${fusion[@]}" "$detector" --half --json "$out/engines_half.json"
  step engines_f32 iv engine "${fusion[@]}" --json "$out/engines_f32.json"
  step pipeline iv bench --model refinefuse refinefuse_lite --backend tensorrt --detector "$detector" \
    --rounds 300 --roofline --json "$out/pipeline.json" --plot "$out/pipeline.png"
esac
# ONNX Runtime on the CPU is what the GPU's images are compared with; here it gives the ratio of the times.
# shellcheck disable=SC2086
step networks iv bench --model "${fusion[@]}" --backend $backends --rounds 100 --roofline --profile \
  --json "$out/networks.json" --plot "$out/networks.png"
step memory "$python" test/gpu_figures.py memory --json "$out/memory.json"
step table "$python" test/gpu_figures.py table "$out"
cat "$out/README.md"
exit "$status"
