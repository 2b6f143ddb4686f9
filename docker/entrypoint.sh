#!/usr/bin/env bash
# ROS, the workspace, and the Python packages of the virtual environment, then whatever was asked for.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/install/setup.bash
PYTHONPATH="$(/opt/ivfusion/bin/python -c 'import site; print(site.getsitepackages()[0])'):${PYTHONPATH}"
export PYTHONPATH
exec "$@"
