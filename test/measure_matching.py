"""Alignment of single pairs against baselines: python test/measure_matching.py [--pairs 200] [--only NAME].

With --held-out, of MSRS only what recipes/matcher holds out, and RoadScene's test part: a matcher that
ships has learned from the others.

Registered pairs of ../shared/data (half MSRS, day and night in equal parts, half RoadScene) whose thermal
image is warped by a random homography: turned by up to 5 degrees, scaled by 0.88 to 1.13, shifted by up to
8% of the width, with corners moved by another 1.5%. Prints Markdown tables.

Error: for pixels of the warped image that the RGB image shows, the mean distance in RGB pixels between
where the estimate puts them and where they belong. MSRS pairs of one rig are first placed by many pairs
(the set is off by about a pixel itself); RoadScene pairs are taken as they come. A method that gives no
result leaves the pair as it was. Accepted: what the method itself vouches for.

Risk-coverage: the pairs are sorted by confidence; the area is the mean, over all coverages, of the mean
error (at most 50 px each) of those kept: as low as the oracle's where confidence orders the errors, as high
as the mean where it says nothing.
"""

from __future__ import annotations

import argparse
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from measure_registration import ecc, edges, grey, keypoints, phase_correlation
from places import SHARED

from ivfusion_ros.calibrate.choices import SHIPPED_MATCHER
from ivfusion_ros.calibrate.matcher import Matcher, align_by, load_matcher
from ivfusion_ros.registration.scene.align import align, align_many
from ivfusion_ros.training.fusion.split import split_folders
from ivfusion_ros.training.matcher.config import MatcherConfig
from ivfusion_ros.types import CAMERAS, Floats, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = SHARED / "data"
PLACED_BY = 40
CLIP_PX = 50.0
FAILED_PX = 10.0


@dataclass(frozen=True, eq=False)
class Pair:
    """thermal: warped. rgb: luminance. truth: 3x3 rgb_from_thermal. pixels: (N, 2) thermal, to judge."""

    name: str
    kind: str
    thermal: Image
    rgb: Image
    truth: Floats
    pixels: Floats

    def error_px(self, rgb_from_thermal: Floats) -> float:
        there, here = (
            cv2.perspectiveTransform(self.pixels[None], np.asarray(one, np.float64))[0]
            for one in (self.truth, rgb_from_thermal)
        )
        return float(np.minimum(np.hypot(*(there - here).T), 1e3).mean())


@dataclass(frozen=True)
class Estimate:
    """rgb_from_thermal: 3x3. confidence: in any unit. accepted: whether the method vouches for it."""

    rgb_from_thermal: Floats
    confidence: float = 0.0
    accepted: bool = True


def read(folder: str, camera: str, stem: str) -> Image:
    return np.asarray(
        cv2.imread(str(DATA / folder / camera / f"{stem}.webp"), cv2.IMREAD_GRAYSCALE), np.uint8
    )


def stems(folder: str, ending: str = "") -> list[str]:
    return sorted(path.stem for path in (DATA / folder / "rgb").glob(f"*{ending}.webp"))


def spread(names: list[str], count: int) -> list[str]:
    return [names[index] for index in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]


def placed(folder: str, names: list[str]) -> Floats:
    """3x3 that puts a set's thermal images where its RGB images have them, by many pairs of one rig."""
    pairs = [
        (read(folder, "thermal", name), read(folder, "rgb", name)) for name in spread(names, PLACED_BY)
    ]
    return align_many(pairs, np.eye(3)).rgb_from_thermal


def read_pairs(count: int, *, held_out: bool) -> Iterator[Pair]:
    half, random = count // 2, np.random.default_rng(19)
    split = split_folders([DATA / "msrs"], CAMERAS, MatcherConfig())
    held = {pair.stem for pair in split.validation}
    for kind, ending, number in (("MSRS day", "D", half // 2), ("MSRS night", "N", half - half // 2)):
        names = stems("msrs", ending)
        base = placed("msrs", names)
        for name in spread([name for name in names if name in held or not held_out], number):
            yield warped("msrs", kind, name, base, random)
    folders = ("roadscene_test",) if held_out else ("roadscene_train", "roadscene_test")
    both = [(folder, name) for folder in folders for name in stems(folder)]
    for index in np.linspace(0, len(both) - 1, count - half).astype(int):
        yield warped(both[index][0], "RoadScene", both[index][1], np.eye(3), random)


def warped(folder: str, kind: str, name: str, base: Floats, random: np.random.Generator) -> Pair:
    thermal, rgb = read(folder, "thermal", name), read(folder, "rgb", name)
    size = (thermal.shape[1], thermal.shape[0])
    warp = random_homography(size, random)
    image = np.asarray(cv2.warpPerspective(thermal, warp, size, flags=cv2.INTER_LINEAR), np.uint8)
    truth = base @ np.linalg.inv(warp)
    pixels = np.stack(np.meshgrid(*(np.arange(4.0, side, 8) for side in size)), axis=-1).reshape(-1, 2)
    origin = cv2.perspectiveTransform(pixels[None], np.linalg.inv(warp))[0]
    place = cv2.perspectiveTransform(pixels[None], truth)[0]
    limits = np.array(size) - 1, np.array(rgb.shape[::-1]) - 1
    seen = [
        ((one >= 0) & (one <= limit)).all(axis=1)
        for one, limit in zip((origin, place), limits, strict=True)
    ]
    return Pair(f"{folder}/{name}", kind, image, rgb, truth, pixels[seen[0] & seen[1]])


def random_homography(size: tuple[int, int], random: np.random.Generator) -> Floats:
    width, height = size
    centre = (width - 1) / 2, (height - 1) / 2
    turn = np.vstack(
        [cv2.getRotationMatrix2D(centre, random.uniform(-5, 5), random.uniform(0.88, 1.13)), [0, 0, 1]]
    )
    turn[:2, 2] += random.uniform(-0.08, 0.08, 2) * width
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    bent = corners + random.uniform(-0.015, 0.015, (4, 2)).astype(np.float32) * width
    return np.asarray(turn @ cv2.getPerspectiveTransform(corners, bent), np.float64)


def unchanged(pair: Pair) -> Estimate:
    return Estimate(np.eye(3))


def ours(pair: Pair) -> Estimate:
    found = align(pair.thermal, pair.rgb)
    return Estimate(found.rgb_from_thermal, found.confidence, found.trusted)


@functools.cache
def shipped() -> Matcher:
    return load_matcher(SHIPPED_MATCHER)


def ours_and_matcher(pair: Pair) -> Estimate:
    found, _ = align_by([(pair.thermal, pair.rgb)], None, "homography", shipped())
    return Estimate(found.rgb_from_thermal, found.confidence, found.trusted)


def placing(method: Callable[..., Callable[[Floats], Floats]]) -> Callable[[Pair], Estimate]:
    """A baseline of measure_registration, whose placing of four points is its homography."""

    def estimate(pair: Pair) -> Estimate:
        height, width = pair.thermal.shape
        corners = np.array([[0.0, 0], [width, 0], [width, height], [0, height]])
        there = method(pair)(corners)
        return Estimate(cv2.getPerspectiveTransform(corners.astype(np.float32), there.astype(np.float32)))

    return estimate


METHODS: dict[str, Callable[[Pair], Estimate]] = {
    "before": unchanged,
    "phase correlation": placing(phase_correlation),
    "ECC, affine, grey": placing(ecc(grey)),
    "ECC, affine, edges": placing(ecc(edges)),
    "ORB + MAGSAC": placing(keypoints(cv2.ORB_create(2000), cv2.NORM_HAMMING)),
    "SIFT + MAGSAC": placing(keypoints(cv2.SIFT_create(2000), cv2.NORM_L2)),
    "ours": ours,
    "ours and the matcher": ours_and_matcher,
}


@dataclass(frozen=True)
class Row:
    """One pair's outcome."""

    kind: str
    name: str
    error_px: float
    confidence: float
    accepted: bool


def tried(method: Callable[[Pair], Estimate], pair: Pair) -> Row:
    try:
        found = method(pair)
    except (cv2.error, ValueError):
        found = Estimate(np.eye(3), accepted=False)
    return Row(
        pair.kind, pair.name, pair.error_px(found.rgb_from_thermal), found.confidence, found.accepted
    )


def area(errors: Floats, order: Floats) -> float:
    """Area under the risk-coverage curve of errors (N,) for a confidence (N,)."""
    kept = np.minimum(errors, CLIP_PX)[np.argsort(-order, kind="stable")]
    return float((np.cumsum(kept) / np.arange(1, len(kept) + 1)).mean())


def print_rows(name: str, rows: list[Row], cost_ms: float) -> None:
    for kind in (*dict.fromkeys(row.kind for row in rows), "all"):
        some = [row for row in rows if kind in (row.kind, "all")]
        errors = np.array([row.error_px for row in some])
        accepted = np.array([row.accepted for row in some])
        confidence = np.array([row.confidence for row in some])
        good = errors[accepted]
        worst = f"{good.max():.1f}" if len(good) else "-"
        ordered = f"{area(errors, confidence):.2f}" if np.ptp(confidence) > 0 else "-"
        print(
            f"| {name} | {kind} | {np.median(errors):.2f} | {np.percentile(errors, 90):.1f} "
            f"| {(errors > FAILED_PX).sum()} | {accepted.sum()} of {len(some)} "
            f"| {np.median(good) if len(good) else np.nan:.2f} | {(good > FAILED_PX).sum()}, {worst} "
            f"| {ordered} / {area(errors, -errors):.2f} / {np.minimum(errors, CLIP_PX).mean():.2f} "
            f"| {cost_ms:.0f} |",
            flush=True,
        )


def print_curve(rows: list[Row]) -> None:
    """Mean and worst error of the surest tenths."""
    ranked = sorted(rows, key=lambda row: -row.confidence)
    print("\n| of the pairs, the surest | mean px | worst px | confidence at least |\n|---|---|---|---|")
    for tenth in range(1, 11):
        kept = ranked[: len(ranked) * tenth // 10]
        errors = [min(row.error_px, CLIP_PX) for row in kept]
        print(f"| {tenth * 10}% | {np.mean(errors):.2f} | {max(errors):.1f} | {kept[-1].confidence:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="how many")
    parser.add_argument("--only", choices=tuple(METHODS), help="one method, and its worst pairs")
    parser.add_argument("--held-out", action="store_true", help="only pairs that no matcher has seen")
    options = parser.parse_args()
    pairs = list(read_pairs(options.pairs, held_out=options.held_out))
    print(
        "| method | pairs | median px | 90% | over 10 px | accepted | their median | over 10 px, worst ",
        end="",
    )
    print("| risk-coverage / oracle / mean | CPU ms |\n|---|---|---|---|---|---|---|---|---|---|")
    for name in METHODS if options.only is None else [options.only]:
        begin_s = time.process_time()
        rows = [tried(METHODS[name], pair) for pair in pairs]
        print_rows(name, rows, (time.process_time() - begin_s) * 1e3 / len(pairs))
    print_curve(rows)
    if options.only is not None:
        for row in sorted(rows, key=lambda row: -row.error_px)[:30]:
            print(f"{row.name} {row.error_px:.1f} px, confidence {row.confidence:.2f}")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
