"""An SQLite file on a network is found out, and that is logged where processes start."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from adapters.history import SqlHistory, files
from adapters.history.files import network_file_system

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /srv rw,relatime - nfs4 files:/export rw,vers=4.2
41 40 0:36 / /srv/local\\040disk rw - xfs /dev/sdb1 rw
42 22 0:37 /a /mnt rw master:3 - cifs //host/share rw
43 42 0:38 / /mnt/over rw - tmpfs tmpfs rw
44 22 0:39 / /srvice rw - ext4 /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/consortium.db", "nfs4"),
        ("/srv/local disk/consortium.db", None),
        ("/mnt/deep/er/consortium.db", "cifs"),
        ("/mnt/over/consortium.db", None),
        ("/srvice/consortium.db", None),
        ("/var/consortium.db", None),
    ],
)
def test_the_nearest_mount_point_counts(tmp_path: Path, path: str, kind: str | None) -> None:
    (mounts := tmp_path / "mountinfo").write_text(MOUNTS)
    assert network_file_system(Path(path), mounts) == kind


def test_where_it_cannot_be_told_nothing_is_said(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "missing") is None
    (empty := tmp_path / "empty").write_text("")
    assert network_file_system(tmp_path, empty) is None


def test_this_system_tells() -> None:
    assert network_file_system(Path("/proc")) is None


async def test_a_start_on_a_network_file_system_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mounts := tmp_path / "mountinfo").write_text(f"22 1 8:1 / {tmp_path} rw - nfs files:/export rw\n")
    monkeypatch.setattr(files, "MOUNTS", mounts)
    with structlog.testing.capture_logs() as logged:
        async with SqlHistory(f"sqlite:///{tmp_path}/history.db"):
            pass
    (warning,) = logged
    assert (warning["log_level"], warning["kind"]) == ("warning", "nfs")
    assert "PostgreSQL" in warning["event"]
