"""Whether a path lies on a disk of this machine or on a network file system."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
"""The file in which Linux lists the mounts that this process sees."""

NETWORK = re.compile(
    r"(fuse\.)?(nfs\d?|cifs|smb\w*|sshfs|9p|lustre|gpfs|ceph\w*|glusterfs|beegfs|afs|pvfs2|orangefs"
    r"|panfs|wekafs|davfs2?|s3fs|rclone|gcsfuse|mfs|moosefs|juicefs|ncpfs|ocfs2|gfs2?|coda)"
)
"""Types of file systems to which several machines write, by the kernel's names."""


def network_type(path: Path) -> str | None:
    """Return the type of the network file system on which a path lies.

    Args:
        path: A file or directory; it need not exist.

    Returns:
        The kernel's name of the type, such as `nfs4`; None on a local file system, and on
        systems other than Linux, which have no list of mounts.
    """
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    there = path.resolve()
    found, depth = None, -1
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        # The kernel writes spaces, tabs and backslashes as three octal digits: \040.
        mount = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))
        # A later mount on the same place covers an earlier one.
        if there.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = kind, len(mount.parts)
    return found if found is not None and NETWORK.fullmatch(found) else None
