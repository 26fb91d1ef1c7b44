"""Child processes that end with the gateway that started them, however that ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable


_PR_SET_PDEATHSIG = 1


def end_with_parent() -> Callable[[], None] | None:
    """What a child does before it becomes another program (`preexec_fn`): ask the kernel for SIGTERM when this process ends.

    None where the kernel cannot do that.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return ask
