"""What is simulated: the scene, and the two cameras that look at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ivfusion_ros.errors import ConfigError

ILLUMINATIONS = ("day", "dusk", "night")


@dataclass(frozen=True)
class SceneConfig:
    """A street and who moves in it. Raises ConfigError for values outside the stated ranges.

    people, cars: how many, each 0 to 30.
    glare: strength of headlight glare in the RGB image, 0 for none.
    fog_per_m: extinction of visible light, 1/m; the thermal image sees through (0.02 is thick fog).
    start_ns: stamp of true time 0, nanoseconds.
    """

    seed: int = 0
    duration_s: float = 10.0
    illumination: str = "night"
    people: int = 9
    cars: int = 6
    glare: float = 1.0
    fog_per_m: float = 0.0
    start_ns: int = 1_700_000_000_000_000_000

    def __post_init__(self) -> None:
        if self.illumination not in ILLUMINATIONS:
            raise ConfigError(
                f"illumination is {self.illumination!r}, expected one of {', '.join(ILLUMINATIONS)}"
            )
        for name, low, high in (
            ("seed", 0, 2**63),
            ("duration_s", 0.0, 86400.0),
            ("people", 0, 30),
            ("cars", 0, 30),
            ("glare", 0.0, 10.0),
            ("fog_per_m", 0.0, 1.0),
        ):
            _check_range(self, name, low, high)


@dataclass(frozen=True)
class RgbConfig:
    """The reference camera: at the origin of the world, looking level along the street.

    hfov_deg: horizontal field of view of the ideal pinhole; distortion: plumb_bob k1, k2.
    principal_offset_px: principal point minus image centre.
    jitter_ms: standard deviation of the stamps around the true time.
    noise_levels: standard deviation of the noise, grey levels of 255 (after gamma, as shot noise has).
    auto_exposure: darken the image when much bright light is in view, else the exposure is constant.
    """

    width: int = 640
    height: int = 480
    rate_hz: float = 30.0
    hfov_deg: float = 54.0
    principal_offset_px: tuple[float, float] = (3.5, -2.0)
    distortion: tuple[float, float] = (-0.06, 0.01)
    jitter_ms: float = 0.5
    noise_levels: float = 4.0
    auto_exposure: bool = False
    frame_id: str = "rgb_optical_frame"

    def __post_init__(self) -> None:
        _check_camera(self)
        _check_range(self, "noise_levels", 0.0, 100.0)


@dataclass(frozen=True)
class ThermalCameraConfig:
    """A radiometric thermal core: uint16 counts of 0.01 K.

    position_m: of the camera in the RGB camera's optical frame (x right, y down, z forward).
    rotation_deg: rotation vector from the RGB camera's frame to this one's, degrees.
    clock_offset_ms: this camera's clock minus true time; the RGB camera's clock is true.
    noise_counts, pattern_counts: standard deviation of the temporal noise and of the fixed pattern.
    drift_counts_per_s: rise of all counts since the last shutter event, which zeroes it.
    shutter_interval_s: a shutter event starts at each multiple (0 for none); during shutter_length_s
    the camera repeats its last image under new stamps.
    """

    width: int = 640
    height: int = 512
    rate_hz: float = 25.0
    hfov_deg: float = 62.0
    principal_offset_px: tuple[float, float] = (-5.0, 4.0)
    distortion: tuple[float, float] = (-0.14, 0.03)
    position_m: tuple[float, float, float] = (0.09, -0.03, 0.01)
    rotation_deg: tuple[float, float, float] = (0.5, -0.8, 0.4)
    clock_offset_ms: float = 8.0
    jitter_ms: float = 1.0
    noise_counts: float = 5.0
    pattern_counts: float = 4.0
    drift_counts_per_s: float = 6.0
    shutter_interval_s: float = 6.0
    shutter_length_s: float = 0.4
    frame_id: str = "thermal_optical_frame"

    def __post_init__(self) -> None:
        _check_camera(self)
        for name in ("noise_counts", "pattern_counts", "shutter_length_s"):
            _check_range(self, name, 0.0, 1000.0)
        _check_range(self, "drift_counts_per_s", -500.0, 500.0)
        if max(map(abs, self.rotation_deg)) > 20 or max(map(abs, self.position_m)) > 2:
            raise ConfigError(
                f"the thermal camera is at {self.position_m} m, turned by {self.rotation_deg} degrees; "
                "expected at most 2 m and 20 degrees on each axis"
            )
        if self.shutter_interval_s and self.shutter_interval_s < 2 * self.shutter_length_s:
            raise ConfigError(
                f"shutter_interval_s is {self.shutter_interval_s}, expected 0 or at least twice "
                f"shutter_length_s ({self.shutter_length_s})"
            )


@dataclass(frozen=True)
class RigConfig:
    """Both cameras, camera_height_m above the road."""

    rgb: RgbConfig = field(default_factory=RgbConfig)
    thermal: ThermalCameraConfig = field(default_factory=ThermalCameraConfig)
    camera_height_m: float = 1.6

    def __post_init__(self) -> None:
        _check_range(self, "camera_height_m", 0.3, 5.0)


def _check_camera(config: RgbConfig | ThermalCameraConfig) -> None:
    _check_range(config, "width", 16, 4096)
    _check_range(config, "height", 16, 4096)
    _check_range(config, "rate_hz", 0.1, 1000.0)
    _check_range(config, "hfov_deg", 5.0, 90.0)
    # Beyond a sixth of the period, three sigma, stamps could change their order.
    _check_range(config, "jitter_ms", 0.0, 1000.0 / config.rate_hz / 6.5)


def _check_range(config: object, name: str, low: float, high: float) -> None:
    value = getattr(config, name)
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, expected {low:g} to {high:g}")
