"""Replace files atomically: after any fault, the old or the new file exists as a whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4


def replace_file(path: Path, content: bytes) -> None:
    """Write a new file beside the old one, and rename it once all its content is on the disk.

    A symbolic link remains, and its target is replaced. A path that is no regular file, such as a
    pipe or a terminal, is written to directly.

    Raises:
        OSError: The file cannot be written; the old file is unchanged.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = path.resolve() if path.is_symlink() else path
    # A unique name, because two processes may write the same file at the same time.
    unfinished = target.with_suffix(f".{uuid4().hex}")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            # Without fsync, a power cut after the rename could leave an empty file.
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, unfinished)
        unfinished.replace(target)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
