"""Where a path lies: on a disk of this machine, or on one that others share by network."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")

NETWORK = re.compile(
    r"(fuse\.)?(nfs\d?|cifs|smb\w*|sshfs|9p|lustre|gpfs|ceph\w*|glusterfs|beegfs|afs|pvfs2|orangefs"
    r"|panfs|wekafs|davfs2?|s3fs|rclone|gcsfuse|mfs|moosefs|juicefs|ncpfs|ocfs2|gfs2?|coda)"
)
"""Types of file systems that several machines write to, as the kernel names them."""


def network_type(path: Path) -> str | None:
    """The type of the network file system that a path lies on; None on any other.

    The path need not exist. Where the kernel tells of no mounts (not Linux), nothing is known.
    """
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    there = path.resolve()
    found, depth = None, -1
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        mount = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))
        # A later mount on the same place covers an earlier one.
        if there.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = kind, len(mount.parts)
    return found if found is not None and NETWORK.fullmatch(found) else None
