"""This machine's clock. Decisions and everything that is billed go by the store's (`Kernel.store_now_ms`)."""

import time


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
