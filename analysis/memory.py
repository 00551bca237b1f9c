"""What becomes of freed memory: kept for the next array, because memory that is new to a process must be cleared first.

By default the C library hands large blocks back to the system at once. Clearing them again and again was a quarter of
the time that the analysis of a big trace took.
"""

import ctypes

# From glibc's malloc.h; other C libraries have no mallopt, or ignore it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1


def keep() -> None:
    """Keep freed memory until the process ends. For a command of its own: it changes the whole process."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _NEVER)
    mallopt(_TRIM_THRESHOLD, _NEVER)
    # One heap for all threads: else each keeps what it freed to itself.
    mallopt(_ARENA_MAX, 1)
