"""A small folder of pairs and short trainings on it."""

from pathlib import Path

import cv2
import numpy as np

from ivfusion_ros.training.fusion.config import TrainConfig


def pair_folder(folder: Path, numbers=(*range(1, 7), *range(100, 106)), size=(128, 96)) -> Path:
    """Pairs of (width, height) in runs of frame numbers, with labels for those below 50."""
    random = np.random.default_rng(0)
    for name in ("thermal", "rgb", "labels"):
        (folder / name).mkdir(parents=True)
    shape = size[::-1]
    for number in numbers:
        stem = f"{number:05d}D"
        thermal = cv2.GaussianBlur(random.integers(0, 256, shape, np.uint8), (9, 9), 3)
        cv2.imwrite(str(folder / "thermal" / f"{stem}.png"), thermal)
        cv2.imwrite(str(folder / "rgb" / f"{stem}.png"), random.integers(0, 256, (*shape, 3), np.uint8))
        if number < 50:
            cv2.imwrite(str(folder / "labels" / f"{stem}.png"), np.full(shape, 2, np.uint8))
    return folder


def m3fd_folder(folder: Path) -> Path:
    """Twelve pairs in the folders and with the annotations in which M3FD is published."""
    pair_folder(folder)
    for name, own in (("thermal", "Ir"), ("rgb", "Vis")):
        (folder / name).rename(folder / own)
    (folder / "Annotation").mkdir()
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>20</ymin><xmax>{left + 20}</xmax>"
        "<ymax>70</ymax></bndbox></object>"
        for left, name in enumerate(("People", "Car", "Bus", "Motorcycle", "Lamp", "Truck", "Dog"))
    )
    for path in (folder / "Ir").iterdir():
        (folder / "Annotation" / f"{path.stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    return folder


def config(**changes) -> TrainConfig:
    values = {
        "iterations": 4,
        "batch": 2,
        "crop": (64,),
        "validate_every": 2,
        "precision": "f32",
        "validation_fraction": 0.4,
        "threads": 1,
    }
    return TrainConfig(**(values | changes))
