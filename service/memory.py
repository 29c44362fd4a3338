"""How a process keeps the memory of large arrays that come and go."""

import numpy as np

_LARGEST = 31 * 2**20


def keep_freed_memory() -> None:
    """Let the allocator keep freed blocks of up to 31 MiB, where it is glibc's; elsewhere nothing happens.

    Otherwise it hands arrays of some MiB back to the system when they are freed, which then clears each page of the
    next one anew: a fifth of the time of a worker. What it keeps grows with the blocks that it has seen freed, see
    M_MMAP_THRESHOLD in mallopt(3).
    """
    np.empty(_LARGEST, dtype=np.uint8)
