"""What goes on while models load and engines are built, which takes minutes inside of one callback."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from rclpy.node import Node

_POLL_S = 0.05


@contextmanager
def answering(node: Node) -> Iterator[Callable[[threading.Event], bool]]:
    """A way to wait, inside a callback of the node, that lets all its other callbacks go on.

    So do those of the other nodes in its executor, whose one thread is taken: it is still one thread that
    calls all of them, so nobody needs locks. The callback that waits must not be in a group that excludes
    the others. It waits for what another thread sets, and gives False where the process ends before that.
    """
    outer = node.executor
    nodes = [node] if outer is None else outer.get_nodes()
    inner = SingleThreadedExecutor(context=node.context)
    for each in nodes:
        # Which takes it from the outer one.
        inner.add_node(each)

    def wait(ready: threading.Event) -> bool:
        try:
            while not ready.is_set() and node.context.ok():
                inner.spin_once(timeout_sec=_POLL_S)
        except (ExternalShutdownException, rclpy_implementation.RCLError):
            # What a signal interrupted cannot go on; anything else is a defect.
            if node.context.ok():
                raise
        return bool(node.context.ok())

    try:
        yield wait
    finally:
        for each in nodes:
            each.executor = outer
        inner.shutdown()
