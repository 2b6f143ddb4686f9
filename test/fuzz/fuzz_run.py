"""Feeds damaged inputs to the kinds of fuzz_kinds.py, each in a process that may crash or hang.

    python test/fuzz/fuzz_run.py --seconds 30 --seed 1 [KIND ...]

The process of a kind is watched: an input that takes more than a few seconds counts as a hang, one that
ends the process as a crash. What is not among our errors is printed with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from fuzz_kinds import KINDS, Kind

from ivfusion_ros.errors import IvfusionError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

HANG_S = 20.0
MAX_MEMORY = 8 * 2**30
"""Of address space: what asks for more gets a MemoryError."""
OUTCOMES = ("used", "refused", "traceback", "hang", "crash")


def attempt(kind: Kind, seeds: list[Path], folder: Path, seed: str) -> str:
    """Outcome of one damaged input: used, refused, or the traceback."""
    random = Random(seed)
    try:
        path = kind.damage(random, random.choice(seeds), folder)
        kind.use(path)
    except (IvfusionError, OSError) as error:
        # The command line gives an OSError as one line, too; a refusal says something.
        return "refused" if str(error) else "traceback of an error without a text"
    except MemoryError:
        return "refused"
    except Exception:
        return traceback.format_exc()
    return "used"


def _work(name: str, seed: int, numbers: range, pipe: Connection) -> None:
    """Outcomes of the numbered inputs, one message each before and after."""
    # Libraries write into both, and what they say of damage is no outcome.
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for handle in (1, 2):
        os.dup2(sys.stdout.fileno(), handle)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        seeds = kind.seeds(_made(Path(folder) / "seeds"))
        pipe.send("ready")
        for number in numbers:
            pipe.send(number)
            pipe.send(attempt(kind, seeds, _made(Path(folder) / "inputs"), f"{name}-{seed}-{number}"))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def fuzz(name: str, seed: int, seconds: float, most: int = 10**9) -> tuple[Counter[str], dict[str, str]]:
    """Outcomes of a kind, and each new kind of defect with the seed of its input."""
    counts: Counter[str] = Counter()
    defects: dict[str, str] = {}
    number, end_s = 0, time.monotonic() + seconds
    while number < most and time.monotonic() < end_s:
        ours, theirs = multiprocessing.Pipe()
        arguments = (name, seed, range(number, most), theirs)
        process = multiprocessing.get_context("fork").Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        try:
            assert ours.poll(120) and ours.recv() == "ready", f"{name}: its seeds cannot be made"
            while time.monotonic() < end_s:
                number = ours.recv()
                outcome = ours.recv() if ours.poll(HANG_S) else "hang"
                _count(outcome, f"{name}-{seed}-{number}", counts, defects)
                number += 1
                if outcome == "hang" or number >= most:
                    break
        except EOFError:
            process.join()
            _count(f"crash ({process.exitcode})", f"{name}-{seed}-{number}", counts, defects)
            number += 1
        finally:
            process.kill()
            process.join()
    return counts, defects


def _count(outcome: str, seed: str, counts: Counter[str], defects: dict[str, str]) -> None:
    known = next((word for word in OUTCOMES if outcome.startswith(word)), "traceback")
    counts[known] += 1
    if known not in ("used", "refused"):
        # Two tracebacks are of one defect where they end in the same lines.
        defects.setdefault(
            "".join(outcome.splitlines(keepends=True)[-4:-1]) or outcome, f"{seed}\n{outcome}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures = 0
    print(f"{'kind':14}{'inputs':>8}" + "".join(f"{name:>11}" for name in OUTCOMES), flush=True)
    told: dict[str, Any] = {}
    for name in options.kinds:
        counts, defects = fuzz(name, options.seed, options.seconds)
        told |= defects
        failures += sum(counts[outcome] for outcome in OUTCOMES[2:])
        row = "".join(f"{counts[outcome]:>11}" for outcome in OUTCOMES)
        print(f"{name:14}{counts.total():>8}{row}", flush=True)
    for text in told.values():
        print(f"\n{text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
