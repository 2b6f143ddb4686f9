"""A plan is a program: it is taken from nobody but the user. A lock is no way to another file."""

import hashlib
import os
import types

import numpy as np
import pytest

from ivfusion_ros.backends.compare import compare
from ivfusion_ros.backends.tensorrt.build import _read_timing_cache
from ivfusion_ros.backends.tensorrt.cache import (
    EngineKey,
    EngineRecord,
    only_builder,
    read_beside,
    read_plan,
    runtime_cache_path,
    write_plan,
)

KEY = EngineKey("0" * 64, "rtx", "1", "GPU", "8.9", "96x64", "f16")
RECORD = EngineRecord(KEY, "a", "f16", "", "", hashlib.sha256(b"plan").hexdigest(), 4, 1.0, "")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.engine"
    write_plan(path, b"plan", RECORD)
    assert read_plan(path, KEY) == (b"plan", RECORD)
    return path


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_can_write_is_refused(path, which) -> None:
    (path if which == "file" else path.parent).chmod(0o777)
    assert "others can write" in read_plan(path, KEY)


def test_a_link_is_refused(path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")
    assert "is a link" in read_plan(path, KEY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_plan_is_refused(path) -> None:
    os.chown(path, 12345, -1)
    assert "belongs to another user (id 12345)" in read_plan(path, KEY)


@pytest.fixture
def kernels(path):
    kernels = runtime_cache_path(path)
    kernels.write_bytes(b"kernels")
    assert read_beside(kernels) == b"kernels"
    return kernels


@pytest.mark.parametrize("which", ["file", "folder"])
def test_kernels_that_others_can_write_are_made_again(kernels, which, caplog) -> None:
    (kernels if which == "file" else kernels.parent).chmod(0o777)
    assert read_beside(kernels) == b"" and "others can write" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_kernels_are_made_again(kernels, caplog) -> None:
    os.chown(kernels, 12345, -1)
    assert read_beside(kernels) == b"" and "belongs to another user (id 12345)" in caplog.text


def test_kernels_behind_a_link_are_made_again(kernels, caplog) -> None:
    kernels.rename(kernels.with_name("other"))
    kernels.symlink_to("other")
    assert read_beside(kernels) == b"" and "is a link" in caplog.text


def test_no_kernels_are_no_trouble(path, caplog) -> None:
    assert read_beside(path.with_suffix(".none")) == b"" and not caplog.text


def test_measured_times_of_others_are_not_read(path) -> None:
    times = path.with_name("timing.cache")
    times.write_bytes(b"times")
    taken = []
    config = types.SimpleNamespace(
        create_timing_cache=lambda content: taken.append(content) or object(),
        set_timing_cache=lambda cache, ignore_mismatch: True,
    )
    _read_timing_cache(config, times)
    times.chmod(0o666)
    _read_timing_cache(config, times)
    assert taken == [b"times", b""]


def test_a_lock_that_is_a_link_leaves_the_other_file_as_it_is(path, caplog) -> None:
    other = path.with_name("precious")
    other.write_text("content")
    path.with_suffix(".lock").symlink_to(other)
    with only_builder(path):
        pass
    assert other.read_text() == "content"
    assert "engines cannot be kept" in caplog.text


def test_a_constant_image_fails_the_self_test() -> None:
    black = {"fused": np.zeros((1, 8, 8, 3), np.uint8)}
    outcome = compare("fusion", (8, 8), lambda _: black, lambda _: black, [{}])
    assert not outcome.passed
    assert "one grey level" in outcome.text
