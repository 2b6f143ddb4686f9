"""Scores from which objects are reported, one for all classes or one for each."""

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import THRESHOLD_KEY, Detector, own_thresholds, told_thresholds
from ivfusion_ros.errors import ConfigError, ModelError

NAMES = ("person", "car", "dog")


class Boxes:
    """A backend whose network finds one object of each class, all with the same score."""

    description = "boxes of a test"

    def __init__(self, score: float, thresholds: str | None) -> None:
        self.metadata = {"names": str(dict(enumerate(NAMES)))}
        if thresholds is not None:
            self.metadata[THRESHOLD_KEY] = thresholds
        info = type("Info", (), {"shape": (1, 3, 64, 64), "dtype": np.dtype(np.float32)})
        self.inputs = {"images": info()}
        rows = np.zeros((1, 3 * (64 // 8) ** 2 * 21 // 16, 8), np.float32)
        for class_id in range(3):
            rows[0, class_id] = [16 + 16 * class_id, 16, 8, 8, score, 0, 0, 0]
            rows[0, class_id, 5 + class_id] = 1.0
        self._rows = rows
        output = type("Info", (), {"shape": rows.shape, "dtype": np.dtype(np.float32)})
        self.outputs = {"output0": output()}

    def run(self, _inputs: dict) -> dict:
        return {"output0": self._rows}

    def close(self) -> None:
        """Nothing is held."""


def found(score: float, thresholds: str | None, **config: object) -> list[str]:
    detector = Detector(Boxes(score, thresholds), DetectionConfig(**config))
    result = detector(np.zeros((64, 64, 3), np.uint8))
    assert result.threshold == detector.threshold
    return [NAMES[class_id] for class_id in sorted(result.class_ids)]


def test_one_threshold_is_of_all_classes() -> None:
    assert found(0.3, None) == list(NAMES) and found(0.2, None) == []
    assert found(0.3, "0.48") == [] and found(0.48, "0.48") == list(NAMES)


def test_each_class_has_its_own() -> None:
    assert found(0.35, "0.3 0.48 0.9") == ["person"]
    assert found(0.5, "0.3 0.48 0.9") == ["person", "car"]
    assert found(0.5, "0.3 0.48 0.9", classes=("car", "dog")) == ["car"]


def test_a_configured_one_is_of_all_classes() -> None:
    assert found(0.35, "0.3 0.48 0.9", confidence=0.2) == list(NAMES)
    assert found(0.35, "0.3 0.48 0.9", confidence=0.4) == []


def test_the_lowest_of_the_reported_classes_is_told() -> None:
    detector = Detector(Boxes(0.5, "0.3 0.48 0.9"), DetectionConfig())
    assert detector.threshold == pytest.approx(0.3)
    assert detector.threshold_of(DetectionConfig(classes=("dog", "car"))) == pytest.approx(0.48)
    assert detector.threshold_of(DetectionConfig(confidence=0.6)) == pytest.approx(0.6)
    with pytest.raises(ConfigError, match="cat"):
        detector.check_config(DetectionConfig(classes=("cat",)))


@pytest.mark.parametrize(
    "text", ["high", "", "1.5", "nan", "-0.1", "0.3 0.4", "0.3 0.4 0.5 0.6", "0.3, 0.4, 0.5"]
)
def test_other_metadata_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="expected a score from 0 to 1, or one for each of 3 classes"):
        own_thresholds({THRESHOLD_KEY: text}, 3)
    with pytest.raises(ModelError, match="eval-detection --set-threshold"):
        Detector(Boxes(0.5, text), DetectionConfig())


def test_thresholds_are_told_briefly() -> None:
    assert told_thresholds(own_thresholds({}, 3), NAMES) == "0.25"
    assert (
        told_thresholds(own_thresholds({THRESHOLD_KEY: "0.3 0.48 0.3"}, 3), NAMES)
        == "0.3 (person, dog), 0.48 (car)"
    )
