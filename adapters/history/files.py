"""Where an SQLite file lies: on a disk of this machine, or on one that others share over a network."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_NETWORKED = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "afs",
            "ceph",
            "glusterfs",
            "lustre",
            "beegfs",
            "gpfs",
            "ocfs2",
            "gfs2",
        ),
        *(
            "davfs",
            "fuse.ceph",
            "fuse.davfs2",
            "fuse.glusterfs",
            "fuse.juicefs",
            "fuse.rclone",
            "fuse.s3fs",
            "fuse.sshfs",
        ),
    )
)


def network_file_system(path: Path, mounts: Path | None = None) -> str | None:
    """The kind of network file system that a path lies on, as Linux calls it; None where it does not, or where that
    cannot be told."""
    try:
        lines = (mounts or MOUNTS).read_text(encoding="utf-8", errors="replace").splitlines()
        whole = path.absolute().resolve()
    except OSError:
        return None
    nearest = max(map(_mount, filter(None, lines)), key=lambda mount: _depth(whole, mount[0]), default=None)
    if nearest is None or _depth(whole, nearest[0]) < 0:
        return None
    return nearest[1] if nearest[1] in _NETWORKED else None


def _mount(line: str) -> tuple[Path, str]:
    """The mount point and the kind of file system in a line of mountinfo; see proc(5)."""
    before, _, after = line.partition(" - ")
    point = before.split(" ")[4]
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(octal, char)
    return Path(point), after.split(" ")[0]


def _depth(path: Path, mount: Path) -> int:
    """How near a mount point is above a path: the number of its parts; -1 when it is not above it."""
    return len(mount.parts) if path.is_relative_to(mount) else -1
