"""Files that are written as a whole: whatever goes wrong, the old one or the new one is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside the old one, and put it in its place once all of it is on the disk.

    A symbolic link stays, and what it leads to is replaced. What is no regular file (a pipe, a
    terminal) is written to as it is.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = path.resolve() if path.is_symlink() else path
    # A name that nobody else has: two processes may write the same file at the same time.
    unfinished = target.with_suffix(f".{uuid4().hex}")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
