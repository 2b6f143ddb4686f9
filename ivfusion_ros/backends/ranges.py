"""Ranges that NVIDIA's profilers draw over their timelines, where the package nvtx is installed."""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Given = ParamSpec("Given")
Found = TypeVar("Found")

DOMAIN = "ivfusion_ros"


def ranged(name: str) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Decorate a function: profilers show this name over its calls. Without nvtx it is called as it is."""

    def decorate(work: Callable[Given, Found]) -> Callable[Given, Found]:
        @wraps(work)
        def call(*given: Given.args, **named: Given.kwargs) -> Found:
            annotate = _annotate()
            if annotate is None:
                return work(*given, **named)
            with annotate(name, domain=DOMAIN):
                return work(*given, **named)

        return call

    return decorate


@cache
def _annotate() -> Any:
    try:
        from nvtx import annotate
    except ImportError:
        return None
    return annotate
