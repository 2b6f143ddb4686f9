"""What a data set was made of, written into its folder, so that only the same goes on there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import make_folder, read_yaml, write_whole
from ivfusion_ros.training.fusion.provenance import differences

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_NAME = "made_of.yaml"
DATA = "data.yaml"


def check_made_of(output: Path, made_of: Mapping[str, Any]) -> None:
    """Raises ConfigError where a folder holds a data set of something else."""
    if (output / _NAME).is_file():
        changed = list(differences(read_yaml(output / _NAME), made_of))
        if changed:
            raise ConfigError(
                f"{output} holds a data set of something else ({'; '.join(changed)}); give the same, "
                "another --out, or remove that folder"
            )
    elif any((output / name).exists() for name in ("images", "labels", DATA)):
        raise ConfigError(
            f"{output} holds images, labels or a {DATA}, but no {_NAME} that says of what they are; give "
            "another --out"
        )


def begin(
    output: Path, made_of: Mapping[str, Any], folders: Collection[Path], files: Collection[Path]
) -> int:
    """Write what a data set is made of; it is not complete from now on. Returns how many files went.

    folders: those that hold its images and labels; whatever in them is none of its files is of an earlier
    run, of data that have changed since, and goes.
    """
    make_folder(output)
    write_whole(output / _NAME, yaml.safe_dump(dict(made_of), sort_keys=False))
    (output / DATA).unlink(missing_ok=True)
    kept = set(files)
    old = [path for folder in folders for path in folder.glob("*") if path not in kept]
    for path in old:
        path.unlink()
    return len(old)
