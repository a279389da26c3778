"""Stores that go bad under a daemon, for real: it ends with the reason, comes back in safe mode, and
stays there until an operator has looked. What can be saved is."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys

import harness
from harness import BIN, World, run, until

PAGE = 4096


class Pages:
    """data.mdb of a store that nobody has open, as far as a test needs to know where to hit it."""

    def __init__(self, node):
        self.path = node.world.path / node.name / "data.mdb"

    def roots(self):
        data = self.path.read_bytes()

        def number(at, size=8):
            return int.from_bytes(data[at:at + size], "little")

        newest = max((0, PAGE), key=lambda page: number(page + 144))
        root = number(newest + 16 + 24 + 48 + 40) * PAGE
        out = {}
        for n in range((number(root + 12, 2) - 16) // 2):
            node = root + number(root + 16 + 2 * n, 2)
            size = number(node + 6, 2)
            out[data[node + 8:node + 8 + size].decode()] = number(node + 8 + size + 40)
        return out

    def change(self, at, old_to_new):
        with open(self.path, "r+b") as file:
            file.seek(at)
            old = file.read(1)
            file.seek(at)
            file.write(bytes([old_to_new(old[0])]))

    def flip_a_byte_of(self, table):
        """A page fills from its end: there lies the value of an entry."""
        self.change((self.roots()[table] + 1) * PAGE - 16, lambda old: old ^ 1)

    def zero(self, page):
        with open(self.path, "r+b") as file:
            file.seek(page * PAGE)
            file.write(bytes(PAGE))


def marker(node):
    return (node.world.path / node.name / "untrusted").read_text().strip()


def ended(node):
    code = until(lambda: node.process.poll() is not None and (node.process.returncode,), f"{node.name} ends")[0]
    node.process = None
    return code


def check_safe_mode(node, reason):
    done = node.titip("status")
    assert done.returncode == 7, done
    text = done.stdout.decode()
    assert "SAFE MODE" in text and reason in text and "Since " in text and "titip verify" in text, text
    assert node.titip("list").returncode == 7
    (_, file), = node.world.records(1, seed=99)
    assert node.submit(file).returncode == 7
    return node.status()


def test_a_page_that_the_disk_does_not_give_ends_the_process_and_the_next_start_is_safe_mode():
    with World() as world:
        station = world.station().start()
        for _, file in world.records(3):
            assert station.submit(file).returncode == 0
        os.truncate(Pages(station).path, 2 * PAGE)
        station.titip("list")
        assert ended(station) == 7
        assert marker(station).startswith("yes ") and "SIGBUS" in marker(station), marker(station)
        assert 'store-failed why="SIGBUS' in station.log(), station.log()
        station.start()
        since = check_safe_mode(station, "SIGBUS")["safe_mode_since_ms"]
        assert station.stop() == 0
        station.start()
        assert check_safe_mode(station, "SIGBUS")["safe_mode_since_ms"] == since
        assert os.path.getsize(Pages(station).path) == 2 * PAGE, "nothing was made in its place"


def test_a_store_that_kills_the_process_at_each_start_does_so_once():
    with World() as world:
        station = world.station().start()
        for _, file in world.records(3):
            station.submit(file)
        station.stop()
        os.truncate(Pages(station).path, 2 * PAGE)
        station.start(wait=False)
        assert ended(station) == 7
        station.start()
        check_safe_mode(station, "SIGBUS")


def test_a_store_that_is_killed_while_it_opens_is_not_tried_for_ever():
    """SIGKILL leaves no reason. That is not the store's fault, seven times."""
    with World() as world:
        station = world.station().start()
        station.stop()
        assert marker(station) == "no"
        file = world.path / "station" / "untrusted"
        file.write_text("opening count=7 since_ms=1764000000000\n")
        station.start()
        assert station.titip("status").returncode == 0
        until(lambda: marker(station) == "no", "its opening came to an end")
        station.stop()
        file.write_text("opening count=8 since_ms=1764000000000\n")
        station.start()
        check_safe_mode(station, "opened 8 times")


def test_a_rotten_index_ends_the_process_and_the_next_start_is_safe_mode():
    with World() as world:
        station = world.station().start()
        records = world.records(3)
        for _, file in records[:2]:
            station.submit(file)
        station.stop()
        Pages(station).flip_a_byte_of("numbering")
        station.start()
        station.submit(records[2][1])
        assert ended(station) == 7
        station.start()
        check_safe_mode(station, "Numbering")


def test_a_sync_that_fails_ends_the_process_and_the_next_start_is_safe_mode():
    with World() as world:
        sign = world.path / "fails"
        station = world.station().start(environment={"LD_PRELOAD": str(BIN / "libtitip_failing_sync.so"),
                                                     "TITIP_SYNC_FAILS": str(sign)})
        records = world.records(2)
        assert station.submit(records[0][1]).returncode == 0
        sign.touch()
        assert station.submit(records[1][1]).returncode != 0
        assert ended(station) == 7
        assert "Input/output error" in marker(station), marker(station)
        sign.unlink()
        station.start()
        check_safe_mode(station, "Input/output error")


def test_a_disk_that_takes_no_more_writes_leads_to_safe_mode_without_a_marker():
    with World() as world:
        image, disk = world.path / "image", world.path / "disk"
        disk.mkdir()
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        if os.geteuid() != 0 or run("mkfs.ext4", "-q", "-F", image).returncode != 0 or run(
                "mount", "-o", "loop,errors=remount-ro", image, disk).returncode != 0:
            print("skipped: needs root and a loop device")
            return
        try:
            device = pathlib.Path(run("findmnt", "-no", "SOURCE", disk).stdout.decode().strip()).name
            trigger = pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
            station = world.station(state=disk / "state").start()
            records = world.records(2)
            assert station.submit(records[0][1]).returncode == 0
            try:
                trigger.write_text("a fault")
            except OSError as why:
                print(f"skipped: {why}")
                return
            assert station.submit(records[1][1]).returncode != 0
            assert ended(station) == 7
            assert "`untrusted` cannot be written" in station.log(), station.log()
            station.start()
            check_safe_mode(station, "Read-only file system")
        finally:
            for node in world.nodes:
                node.stop()
            run("umount", disk)


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
