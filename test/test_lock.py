"""What CI installs is pinned with hashes, and images are built on bases that are named to the version."""

import re
import subprocess
import sys
from importlib import metadata

import pytest
import write_lock
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

LOCK, CONSTRAINTS, MAKEFILE = (ROOT / name for name in ("lock.txt", "constraints.txt", "Makefile"))
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*[!e]"))

pytestmark = pytest.mark.skipif(not LOCK.is_file(), reason="lock.txt is not beside the tests")


def entries() -> list[tuple[str, str, str, list[str]]]:
    """(name, version, marker, hashes) of each package in the lock."""
    found = []
    text = LOCK.read_text(encoding="utf-8")
    for head, hashes in re.findall(r"^([^\s#].*) \\\n((?:    --hash=.*\n)+)", text, flags=re.MULTILINE):
        pin, _, marker = head.partition(" ; ")
        name, version = pin.split("==")
        found.append((canonicalize_name(name), version, marker, re.findall(r"--hash=(\S+)", hashes)))
    return found


def here() -> dict[str, str]:
    """Versions by name, of this Python and system."""
    return {
        name: version for name, version, marker, _ in entries() if not marker or Marker(marker).evaluate()
    }


def test_every_package_has_the_hashes_of_its_files() -> None:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", " ")]
    assert len(lines) == len(entries()) > 80
    for name, _, _, hashes in entries():
        assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_constraints_and_lock_have_the_same_versions() -> None:
    lines = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    pins = {canonicalize_name(item.name): str(item.specifier)[2:] for item in map(Requirement, lines)}
    locked = {name: version for name, version, _, _ in entries()}
    # Viewers, a fleet's parts and the site's generator are large, and their tests are skipped without them.
    outside = {"torch", "uv", "foxglove-sdk", "rerun-sdk", "shtab", "mkdocs-material", "mkdocstrings"}
    outside |= {"duckdb", "nvtx", "pyarrow", "ray"}
    assert {name: locked.get(name) for name in pins.keys() - outside} == {
        name: version for name, version in pins.items() if name not in outside
    }


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the lock is for Python 3.11 and newer")
def test_the_lock_has_what_the_tests_install() -> None:
    locked, names = here(), {"ultralytics", "ultralytics-thop", "torchvision"}
    for text in metadata.requires("ivfusion_ros") or ():
        item = Requirement(text)
        extras = ("", *write_lock.EXTRAS)
        if item.marker is None or any(item.marker.evaluate({"extra": extra}) for extra in extras):
            names.add(canonicalize_name(item.name))
    assert names - locked.keys() == {"torch"}


def test_make_installs_by_the_lock() -> None:
    text = MAKEFILE.read_text(encoding="utf-8")
    recipe = text.partition("$(VENV)/.test: ")[2].partition("\n\n")[0]
    assert "--require-hashes --no-deps --requirement lock.txt" in recipe
    extras = ",".join(write_lock.EXTRAS)
    assert f"--no-build-isolation --editable '.[{extras}]'" in recipe


def bases(text: str) -> list[str]:
    """What images are built on, by the defaults of their arguments; "" where there is none."""
    given = dict(re.findall(r"^ARG (\w+)=(\S*)$", text.partition("FROM")[0], flags=re.MULTILINE))
    named = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    return [re.sub(r"\$\{(\w+)\}", lambda name: given.get(name[1], ""), base) for base in named]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_bases_of_images_are_pinned(path) -> None:
    """By a digest or the most exact tag; without a default, a build refuses a base that is not."""
    text = path.read_text(encoding="utf-8")
    assert bases(text)
    for base in bases(text):
        # ROS's images have no tags with a date or number: release, variant and Ubuntu's release are all.
        exact = r"\S+@sha256:[0-9a-f]{64}|\S+:\S*\d\.\d\S*|ros:(humble|jazzy)-[a-z-]+-(jammy|noble)"
        assert re.fullmatch(exact, base) or (not base and 'RUN case "${BASE}" in' in text), base


@pytest.mark.parametrize(
    ("base", "passes"),
    [
        ("", False),
        ("nvcr.io/nvidia/l4t-tensorrt:latest", False),
        ("dustynv/ros:humble", False),
        ("nvcr.io/nvidia/l4t-tensorrt:r8.6.2-devel", True),
        ("own/ros@sha256:" + 64 * "0", True),
    ],
)
def test_a_base_of_no_version_is_refused_by_the_build(base, passes) -> None:
    text = (ROOT / "docker" / "Dockerfile.jetson").read_text(encoding="utf-8")
    check = text.partition("RUN case")[2].partition("\n\n")[0].replace("\\\n", "")
    done = subprocess.run(["sh", "-c", f"case{check}"], env={"BASE": base}, capture_output=True)
    assert (done.returncode == 0) == passes


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_install_pinned_packages_and_run_as_a_user(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert (
        len(re.findall(r"--constraint (docker/)?constraints\.txt", text)) == text.count("pip install") == 1
    )
    assert path.suffix == ".cpu" or re.search(
        r"^ARG CUDA_BINDINGS=cuda-bindings==[\d.]+$", text, flags=re.MULTILINE
    )
    assert re.search(r"^USER (?!root|0)", text, flags=re.MULTILINE)


def test_images_have_the_versions_that_are_tested_where_ros_allows() -> None:
    lines = (ROOT / "docker" / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pins = [Requirement(line) for line in lines]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    python = {"python_version": "3.12", "python_full_version": "3.12.3", "sys_platform": "linux"}
    of_jazzy = {
        canonicalize_name(pin.name): str(pin.specifier)[2:]
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(python)
    }
    locked = {name: version for name, version, _, _ in entries()}
    differing = {name for name, version in of_jazzy.items() if locked.get(name) != version}
    assert differing <= {"numpy", "opencv-python-headless", "ml-dtypes"}
    assert of_jazzy["numpy"].startswith("1.")
