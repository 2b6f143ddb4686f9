"""Registration against OpenCV's own means: python test/measure_registration.py [--pairs N].

Data: shared/data/misaligned_roadscene, 20 pairs; the thermal image was warped by a known smooth field on
top of a rotation, scale and shift. Prints a Markdown table.

End-point error (EPE): for a pixel of the warped thermal image whose true origin lies within the image,
the distance in pixels between where the estimate puts it in the RGB image and where it came from; its mean
over these pixels. A method that gives no result leaves the pair as it was, and is counted as failed.
The truth takes the images before the warp as aligned, which they are not quite: the row "the truth's own"
says how far from it our method places them, and the last row leaves this part out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from places import SHARED

from ivfusion_ros.registration.scene.align import align
from ivfusion_ros.registration.scene.dense import dense_residual
from ivfusion_ros.registration.scene.features import content_mask
from ivfusion_ros.types import Floats, Image

DATA = SHARED / "data" / "misaligned_roadscene"
Placing = Callable[[Floats], Floats]
"""(N, 2) thermal pixels -> (N, 2) RGB pixels."""


@dataclass(frozen=True)
class Pair:
    name: str
    thermal: Image
    before: Image
    rgb: Image
    pixels: Floats
    origins: Floats


def read_pairs(count: int) -> Iterator[Pair]:
    for path in sorted((DATA / "flow").glob("*.npz"), key=lambda one: int(one.stem))[:count]:
        grid = np.load(path)["flow"][0].astype(np.float64)
        height, width = grid.shape[:2]
        origins = ((grid + 1) * [width, height] - 1) / 2
        seen = ((origins >= 0) & (origins <= [width - 1, height - 1])).all(axis=2)
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
        images = [read(folder, path.stem) for folder in ("thermal", "thermal_true", "rgb")]
        yield Pair(path.stem, *images, pixels[seen], origins[seen])


def read(folder: str, stem: str) -> Image:
    return np.asarray(cv2.imread(str(DATA / folder / f"{stem}.webp"), cv2.IMREAD_GRAYSCALE), np.uint8)


def by_matrix(matrix: Floats) -> Placing:
    return lambda pixels: cv2.perspectiveTransform(pixels[None], np.asarray(matrix, np.float64))[0]


def unchanged(pair: Pair) -> Placing:
    return lambda pixels: pixels


def floor(pair: Pair) -> Placing:
    matrix, _ = cv2.findHomography(pair.pixels[::7], pair.origins[::7], 0)
    return by_matrix(matrix)


def phase_correlation(pair: Pair) -> Placing:
    window = cv2.createHanningWindow(pair.rgb.shape[::-1], cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(pair.thermal.astype(np.float32), pair.rgb.astype(np.float32), window)
    return lambda pixels: pixels + np.array(shift)


def ecc(prepare: Callable[[Image], npt.NDArray[np.float32]]) -> Callable[[Pair], Placing]:
    def method(pair: Pair) -> Placing:
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-6)
        matrix = np.eye(2, 3, dtype=np.float32)
        mask = content_mask(pair.thermal).astype(np.uint8)
        images = prepare(pair.rgb), prepare(pair.thermal)
        _, matrix = cv2.findTransformECC(*images, matrix, cv2.MOTION_AFFINE, criteria, mask, 5)
        return by_matrix(np.linalg.inv(np.vstack([matrix, [0, 0, 1]]).astype(np.float64)))

    return method


def grey(image: Image) -> npt.NDArray[np.float32]:
    return image.astype(np.float32)


def edges(image: Image) -> npt.NDArray[np.float32]:
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    return cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def keypoints(detector: Any, norm: int) -> Callable[[Pair], Placing]:
    def method(pair: Pair) -> Placing:
        mask = content_mask(pair.thermal).astype(np.uint8)
        here, ours = detector.detectAndCompute(pair.thermal, mask)
        there, theirs = detector.detectAndCompute(pair.rgb, None)
        if ours is None or theirs is None:
            raise ValueError("no keypoints")
        couples = cv2.BFMatcher(norm).knnMatch(ours, theirs, k=2)
        good = [two[0] for two in couples if len(two) == 2 and two[0].distance < 0.85 * two[1].distance]
        source = np.array([here[one.queryIdx].pt for one in good])
        target = np.array([there[one.trainIdx].pt for one in good])
        if len(good) < 4:
            raise ValueError("too few matches")
        matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 3.0)
        if matrix is None:
            raise ValueError("no homography")
        return by_matrix(matrix)

    return method


def ours_global(pair: Pair) -> Placing:
    return by_matrix(align(pair.thermal, pair.rgb).rgb_from_thermal)


def ours_affine(pair: Pair) -> Placing:
    return by_matrix(align(pair.thermal, pair.rgb, model="affine").rgb_from_thermal)


def ours_dense(pair: Pair) -> Placing:
    return densely(pair.thermal, pair.rgb)


def densely(thermal: Image, rgb: Image) -> Placing:
    matrix = align(thermal, rgb).rgb_from_thermal
    aligned_image = np.asarray(cv2.warpPerspective(thermal, matrix, rgb.shape[::-1]), np.uint8)
    residual = dense_residual(aligned_image, rgb)

    def place(pixels: Floats) -> Floats:
        aligned = by_matrix(matrix)(pixels)
        placed = aligned.copy()
        # The residual says for an RGB pixel which aligned pixel it shows; this is the inverse.
        for _ in range(5):
            offsets = [sampled(part, placed) for part in (residual.map_x, residual.map_y)]
            placed = aligned - np.stack(offsets, axis=1)
        return placed

    return place


def sampled(values: npt.NDArray[np.float32], points: Floats) -> Floats:
    """(H, W) at (N, 2) points; cv2.remap takes no long rows, so the points are laid out as a square."""
    side = int(np.ceil(np.sqrt(len(points))))
    x, y = (np.resize(part, (side, side)).astype(np.float32) for part in points.T)
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.ravel()[: len(points)].astype(np.float64)


def ours_before(pair: Pair) -> Placing:
    """Where the image before the warp is placed, for the warped one's pixels by the true warp."""
    place = densely(pair.before, pair.rgb)
    return lambda pixels: place(pair.origins)


BEFORE_THE_WARP = "the truth's own: homography + dense before the warp"

METHODS: dict[str, Callable[[Pair], Placing]] = {
    "before": unchanged,
    "phase correlation": phase_correlation,
    "ECC, affine, grey": ecc(grey),
    "ECC, affine, edges": ecc(edges),
    "ORB + MAGSAC homography": keypoints(cv2.ORB_create(2000), cv2.NORM_HAMMING),
    "SIFT + MAGSAC homography": keypoints(cv2.SIFT_create(2000), cv2.NORM_L2),
    "ours, affine": ours_affine,
    "ours, homography": ours_global,
    "ours, homography + dense": ours_dense,
    "floor: homography fitted to the truth": floor,
    BEFORE_THE_WARP: ours_before,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="how many pairs")
    pairs = list(read_pairs(parser.parse_args().pairs))
    print(f"{len(pairs)} pairs of misaligned_roadscene, EPE in pixels, OpenCV {cv2.__version__}\n")
    print("| method | mean | median | worst | under 3 px | failed | CPU ms a pair |")
    print("|---|---|---|---|---|---|---|")
    for name, method in METHODS.items():
        errors, failed, begin_s = [], 0, time.process_time()
        for pair in pairs:
            try:
                place = method(pair)
            except (cv2.error, ValueError):
                place, failed = unchanged(pair), failed + 1
            errors.append(mean_distance(place(pair.pixels), pair.origins))
        print_row(name, errors, failed, (time.process_time() - begin_s) * 1e3 / len(pairs))
    print_row("homography + dense against its own placing before the warp", repeatability(pairs), 0, 0)


def mean_distance(one: Floats, other: Floats) -> float:
    return float(np.hypot(*(one - other).T).mean())


def repeatability(pairs: list[Pair]) -> list[float]:
    """Distance between the places of the warped image and of the one before the warp, by the true warp."""
    return [mean_distance(ours_dense(pair)(pair.pixels), ours_before(pair)(pair.pixels)) for pair in pairs]


def print_row(name: str, errors: list[float], failed: int, cost_ms: float) -> None:
    under = sum(error < 3 for error in errors)
    print(
        f"| {name} | {np.mean(errors):.2f} | {np.median(errors):.2f} | {max(errors):.2f} | {under} "
        f"| {failed} | {cost_ms:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
