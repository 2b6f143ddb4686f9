"""Configuration: every default is in range, errors name the parameter, files and ROS files are equal."""

import argparse
from dataclasses import dataclass, fields

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ivfusion_ros.commands.options import pipeline_config
from ivfusion_ros.config.parameters import assignments, iter_parameters, load_config, make_config, parameter
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.models import share_folder
from ivfusion_ros.options.pipeline import add_pipeline_options
from ivfusion_ros.training.fusion.config import TrainConfig, load_train_config, settings
from ivfusion_ros.training.fusion.loss_config import SECTIONS_OF, TermsConfig

PARAMETERS = {item.name: item for item in iter_parameters(PipelineConfig)}


@pytest.mark.parametrize("name", PARAMETERS)
def test_default_is_accepted_and_described(name: str) -> None:
    item = PARAMETERS[name]
    assert make_config(PipelineConfig, {name: item.default}) == PipelineConfig()
    assert len(item.description) > 10


@given(st.sampled_from(sorted(PARAMETERS)), st.one_of(st.none(), st.dictionaries(st.text(), st.none())))
def test_a_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    if value == {}:
        return  # an empty section is no value at all
    with pytest.raises(ConfigError, match=r"options?|config"):
        make_config(PipelineConfig, {name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pairing.max_skw_ms": 1.0}, "did you mean pairing.max_skew_ms"),
        ({"nonsense": 1}, "unknown parameter nonsense"),
        ({"pairing.max_skew_ms": -1}, "must be at least 0"),
        ({"pairing.max_skew_ms": float("nan")}, "must be at least"),
        ({"pairing.queue_size": True}, r"True \(bool\), expected a whole number"),
        ({"pairing.queue_size": 2.5}, "expected a whole number"),
        ({"detection.iou": "much"}, "expected a number"),
        ({"detection.classes": 3}, "expected a list of strings"),
        ({"node.autostart": True}, "node.autostart is a parameter of the live node only"),
        ({"faults.gate": "off"}, "expected true or false"),
        ({"fusion.model": False}, r"False \(bool\), expected a text"),
        ({"fusion.threads": 1000}, "must be at most 256"),
        ({"thermal.scaling": "auto"}, "expected one of percentile, fixed, radiometric"),
        ({"detection.classes": ["car", 3]}, "list of strings"),
        ({"thermal.range_min": 10.0, "thermal.range_max": 10.0}, "range_max is 10.0, must be above"),
    ],
)
def test_errors_say_what_was_found(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(PipelineConfig, values)


def test_integers_become_floats_and_empty_names_vanish() -> None:
    config = make_config(PipelineConfig, {"pairing": {"max_skew_ms": 7}, "detection.classes": ["", "car"]})
    assert config.pairing.max_skew_ms == 7.0
    assert isinstance(config.pairing.max_skew_ms, float)
    assert config.detection.classes == ("car",)


def test_a_bare_off_is_a_choice_though_yaml_reads_false() -> None:
    config = make_config(PipelineConfig, {"registration.residual": False, "tracking.tracker": False})
    assert config == PipelineConfig()
    with pytest.raises(ConfigError, match=r"thermal.scaling is False"):
        make_config(PipelineConfig, {"thermal.scaling": False})


def test_one_name_is_a_list_of_one() -> None:
    assert make_config(PipelineConfig, {"detection.classes": "car"}).detection.classes == ("car",)


def test_errors_name_the_source_that_is_wrong(tmp_path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("thermal.range_min: 10\n")
    with pytest.raises(ConfigError, match=r"^options: pairing.max_skew_ms is 'abc'"):
        load_config(PipelineConfig, path, {"pairing.max_skew_ms": "abc"})
    with pytest.raises(ConfigError, match=r"good.yaml with options: thermal.range_max is 5.0, must"):
        load_config(PipelineConfig, path, {"thermal.range_max": 5})
    path.write_text("pairing.max_skew_ms: abc\n")
    with pytest.raises(ConfigError, match=r"good.yaml: pairing.max_skew_ms is 'abc'"):
        load_config(PipelineConfig, path, {"thermal.range_max": 5})


@pytest.mark.parametrize(("backend", "detector"), [("torch", "auto"), ("openvino", "openvino")])
def test_one_option_sets_the_backend_of_both_networks_but_torch_runs_no_detectors(
    backend, detector
) -> None:
    parser = argparse.ArgumentParser()
    add_pipeline_options(parser)
    config = pipeline_config(parser.parse_args(["--backend", backend]))
    assert (config.fusion.backend, config.detection.backend) == (backend, detector)


def test_plain_and_ros_files_give_the_same(tmp_path) -> None:
    plain, ros = tmp_path / "plain.yaml", tmp_path / "ros.yaml"
    plain.write_text(
        "pairing: {max_skew_ms: 9}\ndetection.confidence: 0.5\nnode: {autostart: true}\n"
        "node.when_silent: silence\n"
    )
    ros.write_text(
        "/**:\n  ros__parameters:\n    use_sim_time: true\n    node: {autostart: true}\n"
        "    qos_overrides: {a: 1}\n"
        "    pairing: {max_skew_ms: 9}\n    detection: {confidence: 0.5}\n"
    )
    config = load_config(PipelineConfig, plain)
    assert config == load_config(PipelineConfig, ros)
    assert (config.pairing.max_skew_ms, config.detection.confidence) == (9.0, 0.5)
    assert load_config(PipelineConfig, plain, {"detection.confidence": 0.1}).detection.confidence == 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", "holds a list"),
        ("a: [1\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("/a:\n  ros__parameters: {}\n/b:\n  ros__parameters: {}\n", "parameters of 2 nodes"),
        ("/**:\n  ros__parameters:\n", "ros__parameters is empty"),
    ],
)
def test_bad_files(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(PipelineConfig, path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(PipelineConfig, tmp_path / "absent.yaml")


def test_the_node_parameters_that_ship_are_valid() -> None:
    config = load_config(PipelineConfig, share_folder("config") / "fusion.yaml")
    assert config.fusion.model == "auto"


FUSION_TRAINING = [
    path
    for path in sorted((share_folder("config") / "train").glob("*.yaml"))
    if "detector" not in read_yaml(path)
]


@pytest.mark.parametrize("path", FUSION_TRAINING, ids=lambda p: p.stem)
def test_the_training_configs_that_ship_are_valid(path) -> None:
    config = load_train_config(path, {})
    assert path.stem.startswith(config.network)
    assert all(crop % 32 == 0 for crop in config.crop)


def test_a_config_survives_being_written(tmp_path) -> None:
    path = tmp_path / "run.yaml"
    config = make_config(TrainConfig, {"loss": "mda", "mda.patch_weight": 3, "learning_rate": "1e-5"})
    path.write_text(yaml.safe_dump(settings(config)))
    assert load_train_config(path, {}) == config
    assert config.learning_rate == 1e-5
    # What the loss does not read is not reported.
    assert settings(config)["mda"]["patch_weight"] == 3.0 and "multiscale" not in settings(config)


def test_a_constant_of_another_loss_is_refused(tmp_path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("loss: mda\nmultiscale: {thermal_gain: 0.1}\n")
    with pytest.raises(ConfigError, match=r"thermal_gain does nothing with loss mda, which reads mda"):
        load_train_config(path, {})
    with pytest.raises(ConfigError, match=r"did you mean multiscale.thermal_gain"):
        make_config(TrainConfig, {"multiscale.thermal_gian": 0.1})


def test_every_loss_says_what_it_reads() -> None:
    losses = pytest.importorskip("ivfusion_ros.training.fusion.losses", reason="needs torch")
    assert SECTIONS_OF.keys() >= losses.LOSSES.keys()
    assert {item.name for item in fields(TermsConfig)} == losses.TERMS.keys()


@dataclass(frozen=True)
class _Lists:
    sides: tuple[int, ...] = parameter((8,), "of something", minimum=8)


def test_lists_of_numbers_are_checked_entry_by_entry() -> None:
    assert make_config(_Lists, {"sides": [8, 16]}).sides == (8, 16)
    assert make_config(_Lists, {"sides": 32}).sides == (32,)
    for value, message in (([8, 4], "4, must be at least 8"), ([8.5], "list of whole numbers")):
        with pytest.raises(ConfigError, match=message):
            make_config(_Lists, {"sides": value})


@pytest.mark.parametrize("text", ["multiscale.levels", "learning_rate=[1"])
def test_assignments_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        assignments([text], "--set")
