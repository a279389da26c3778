"""The second copy: on a disk that is not a good one, that is pulled out, full, or all that is left."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

import harness
from harness import STATION, CuttingProxy, World, run, until


class Disk:
    """A small disk of a kind that people have: FAT where the kernel knows it, else exFAT over FUSE,
    else ext4. None of them can be used without root and a loop device."""

    def __init__(self, world, megabytes=64, name="disk"):
        self.image = world.path / f"{name}.image"
        self.path = world.path / name
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        self.device = None
        self.kind = None
        if os.geteuid() != 0:
            return
        for kind, make in (("vfat", ["mkfs.vfat"]), ("exfat", ["mkfs.exfat"]), ("ext4", ["mkfs.ext4", "-q", "-F"])):
            if shutil.which(make[0]) and run(*make, self.image).returncode == 0 and self._mount(kind):
                self.kind = kind
                return

    def _mount(self, kind):
        if run("mount", "-o", "loop", "-t", kind, self.image, self.path).returncode == 0:
            return True
        if kind != "exfat" or not shutil.which("mount.exfat-fuse"):
            return False
        done = run("losetup", "-f", "--show", self.image)
        if done.returncode != 0:
            return False
        self.device = done.stdout.decode().strip()
        if run("mount.exfat-fuse", self.device, self.path).returncode == 0:
            return True
        self._release()
        return False

    def _release(self):
        if self.device:
            run("losetup", "-d", self.device)
            self.device = None

    def put_in(self, read_only=False):
        if self.device is None and self.kind != "exfat":
            assert run("mount", "-o", "loop" + (",ro" if read_only else ""), "-t", self.kind, self.image,
                       self.path).returncode == 0
        else:
            assert self._mount(self.kind)

    def pull_out(self):
        """Without asking who uses it."""
        if os.path.ismount(self.path):
            assert run("umount", "-l", self.path).returncode == 0
        if self.device:
            until(lambda: not run("pgrep", "-f", f"mount.exfat-fuse {self.device}").stdout, "the driver has ended")
        self._release()

    def files(self):
        return sorted(self.path.glob("*/*.titip"))


@contextlib.contextmanager
def disk_of(world, **options):
    disk = Disk(world, **options)
    try:
        yield disk
    finally:
        for node in world.nodes:
            node.stop()
        disk.pull_out()


@contextlib.contextmanager
def other_disk(world):
    """A folder on another device: what a second disk is to the daemon, where nothing is pulled out."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="titip-copy.", dir="/dev/shm"))
    try:
        yield folder
    finally:
        for node in world.nodes:
            node.stop()
        shutil.rmtree(folder)


def copy_of(station):
    return station.status()["second_copy"]


def is_complete(station):
    copy = copy_of(station)
    return copy["is_counted"] and copy["missing"] == 0 and copy["trouble"] == "none"


def words(station):
    return station.titip("status").stdout.decode()


def rot(station, sealed):
    """One bit of an envelope in the journal's file."""
    data = station.world.path / "station" / "data.mdb"
    content = data.read_bytes()
    at = content.index(sealed[100_000:100_400])
    with open(data, "r+b") as file:
        file.seek(at + 200)
        file.write(bytes([content[at + 200] ^ 0x10]))


def lines_with(station, word):
    return [line for line in station.log().splitlines() if word in line]


def test_every_record_is_on_the_second_disk_too_which_may_be_pulled_out_at_any_moment():
    with World() as world, disk_of(world) as disk:
        if not disk.kind:
            print("skipped: needs root and a loop device")
            return
        print(f"  on {disk.kind}")
        station = world.station(mirror=disk.path).start()
        records = world.records(9)
        for _, file in records[:3]:
            assert station.submit(file).returncode == 0
        until(lambda: is_complete(station), "all are on it")
        assert len(disk.files()) == 3
        disk.pull_out()
        for _, file in records[3:6]:
            assert station.submit(file).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "not-mounted", "it is missed")
        until(lambda: copy_of(station)["missing"] == 3, "three are not on it")
        copy = copy_of(station)
        newest = max(station.list(), key=lambda r: r["place"])
        assert copy["newest_missing"] == newest["id"] and copy["missing_since_ms"] > 0, copy
        assert "plug it in" in words(station) and "3 records are only on this machine" in words(station), words(station)
        assert not any(disk.path.iterdir()), "nothing is written to the folder below"
        assert "titip_second_copy_missing_records 3" in station.http("GET", "/v1/metrics")[2].decode()
        station.kill()
        station.start()
        assert station.submit(records[6][1]).returncode == 0
        assert not copy_of(station)["is_counted"] and "What it holds is not known yet." in words(station)
        disk.put_in()
        until(lambda: is_complete(station), "it catches up by itself")
        assert {f.name[20:56] for f in disk.files()} == {record for record, _ in records[:7]}
        # In the middle of writing, again and again: what is there is whole.
        for record, file in records[7:]:
            assert station.submit(file).returncode == 0
            disk.pull_out()
            disk.put_in()
        until(lambda: is_complete(station), "it catches up once more")
        assert len(disk.files()) == 9
        assert len(lines_with(station, "second-copy-trouble")) >= 2
        for word in ("second-copy-trouble", "second-copy-good"):
            assert len(lines_with(station, word)) <= 4, lines_with(station, word)
        assert len(station.list()) == 9


def test_on_a_full_second_disk_records_are_accepted_and_what_was_erased_makes_room():
    with World() as world, disk_of(world, megabytes=8) as disk:
        if not disk.kind:
            print("skipped: needs root and a loop device")
            return
        print(f"  on {disk.kind}")
        centre = world.centre()
        station = world.station(mirror=disk.path, keep="1 ms").start()
        records = world.records(14, size_bytes=700_000)
        for _, file in records:
            assert station.submit(file).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "full", "the disk is full")
        there = len(disk.files())
        assert 3 < there < 14, there
        assert copy_of(station)["missing"] == 14 - there
        assert "the disk is full" in words(station), words(station)
        centre.start()
        station.wait_drained()
        on_disk = [f.name[20:56] for f in disk.files()]
        for record in on_disk:
            assert centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                                world.path / "recipient.pem").returncode == 0
        until(lambda: len(station.list("--state", "erased")) == there, "the journal erases them")
        until(lambda: is_complete(station), "then the others fit", 120)
        assert {f.name[20:56] for f in disk.files()} == {r for r, _ in records} - set(on_disk)
        assert len(lines_with(station, "second-copy-trouble")) == 1, lines_with(station, "second-copy-trouble")
        assert len(lines_with(station, "second-copy-good")) == 1


def test_a_second_disk_that_can_only_be_read_is_said_so():
    with World() as world, disk_of(world) as disk:
        if disk.kind not in ("vfat", "ext4"):
            if disk.kind != "exfat":
                print("skipped: needs root and a loop device")
                return
            assert run("mount", "-o", "remount,ro", disk.path).returncode == 0
        else:
            disk.pull_out()
            disk.put_in(read_only=True)
        station = world.station(mirror=disk.path).start()
        (record, file), = world.records(1)
        assert station.submit(file).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "read-only", "it says so")
        assert station.state_of(record) == "waiting"


def test_a_folder_on_the_disk_of_the_store_is_no_second_copy():
    with World() as world:
        folder = world.path / "copy"
        folder.mkdir()
        station = world.station(mirror=folder)
        done = run(harness.BIN / "titipd", "--config", station.config, "--check")
        assert done.returncode == 0 and b"[mirror] path" in done.stderr and b"mount the disk" in done.stderr, done
        station.start()
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "not-mounted", "it says so")
        assert not any(folder.iterdir())


def test_a_rotten_record_is_repaired_from_the_second_copy_and_nobody_is_alarmed():
    with World() as world, other_disk(world) as folder:
        centre, station = world.centre(), world.station(mirror=folder).start()
        records = world.records(4)
        for _, file in records:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        _, _, sealed = station.http("GET", f"/v1/records/{records[2][0]}/envelope")
        station.stop()
        rot(station, sealed)
        station.start()
        until(lambda: is_complete(station), "it is compared")
        centre.start()
        until(lambda: len(station.list("--state", "delivered")) == 4, "all are delivered")
        story = [e["event"] for e in station.show(records[2][0])["story"]]
        assert story == ["accepted", "repaired", "delivered"], story
        assert lines_with(station, "repaired place=")
        assert centre.http("GET", f"/v1/records/{records[2][0]}/envelope")[2] == sealed


def test_a_record_that_was_set_aside_as_rotten_is_repaired_when_the_second_copy_comes_back():
    with World() as world, other_disk(world) as folder:
        centre, station = world.centre().start(), world.station(mirror=folder).start()
        assert station.titip("pause").returncode == 0
        records = world.records(2)
        for _, file in records:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        sealed = [station.http("GET", f"/v1/records/{record}/envelope")[2] for record, _ in records]
        station.stop()
        rot(station, sealed[0])
        rot(station, sealed[1])
        away = folder.with_name(folder.name + ".away")
        folder.rename(away)
        station.start()
        assert station.titip("resume").returncode == 0
        until(lambda: len(station.list("--state", "quarantined")) == 2, "they are set aside")
        # Of one the copy is rotten too: the journal's own digest decides.
        bad = next(away.glob(f"*/*{records[1][0]}.titip"))
        content = bytearray(bad.read_bytes())
        content[150_000] ^= 1
        bad.write_bytes(content)
        away.rename(folder)
        until(lambda: station.state_of(records[0][0]) == "delivered", "repaired and sent")
        assert station.state_of(records[1][0]) == "quarantined"
        story = [e["event"] for e in station.show(records[0][0])["story"]]
        assert story == ["accepted", "quarantine", "repaired", "delivered"], story
        assert "repaired" not in [e["event"] for e in station.show(records[1][0])["story"]]


def test_a_new_machine_is_made_from_the_second_copy_and_nothing_is_sent_twice():
    with World() as world, other_disk(world) as folder:
        centre = world.centre().start()
        with CuttingProxy(world.port) as proxy:
            station = world.station(port=proxy.port, mirror=folder, keep="30 days").start()
            records = world.records(9, size_bytes=400_000)
            for _, file in records[:4]:
                station.submit(file)
            station.wait_drained()
            assert centre.titip("open", records[0][0], "--key", world.path / "recipient.key", "--certificate",
                                world.path / "recipient.pem").returncode == 0
            until(lambda: station.state_of(records[0][0]) == "opened", "the verdict is here")
            assert station.titip("pause").returncode == 0
            for _, file in records[4:8]:
                station.submit(file)
            until(lambda: is_complete(station), "all are on it")
            was = {r["id"]: (r["epoch"], r["sequence"], r["digest"]) for r in station.list()}
            # The machine is stolen; and two files of the copy are not what they were.
            station.stop()
            shutil.rmtree(world.path / "station")
            for record, cut in ((records[1][0], True), (records[7][0], False)):
                file = next(folder.glob(f"*/*{record}.titip"))
                content = file.read_bytes()
                file.write_bytes(content[:100_000] if cut else content[:-40] + bytes(8) + content[-32:])
            (folder / "notes.txt").write_text("other things are on this disk")

            done = run(harness.BIN / "titip", "restore", "--config", station.config, "--from", folder)
            said = done.stdout.decode()
            assert done.returncode == 1 and "6 records" in said and "2 files could not be used" in said, (said, done.stderr)
            assert records[1][0] in said and "not complete" in said
            assert records[7][0] in said and "no longer has the bytes" in said
            again = run(harness.BIN / "titip", "restore", "--config", station.config, "--from", folder)
            assert again.returncode == 6 and b"is not empty" in again.stderr, again

            before = proxy.up_bytes
            station.start()
            station.wait_drained()
            until(lambda: station.state_of(records[0][0]) == "opened", "the verdict comes again")
            sent = proxy.up_bytes - before
            new = {r["id"]: (r["epoch"], r["sequence"], r["digest"]) for r in station.list()}
            assert new == {r: was[r] for r in was if r not in (records[1][0], records[7][0])}, (new, was)
            to_send = sum(r["size_bytes"] for r in station.list() if r["id"] in {r for r, _ in records[4:7]})
            print(f"  sent {sent} bytes for {to_send} that the centre did not have")
            assert to_send <= sent < to_send + 64 * 1024, (to_send, sent)
            events = [e["id"] for e in centre.json("events") if e["event"] == "accepted"]
            assert sorted(events) == sorted(r for r, _ in records[:7]), "each once"
            # A new record has an epoch of its own.
            assert station.submit(records[8][1]).returncode == 0
            station.wait_drained()
            shown = station.show(records[8][0])
            assert shown["sequence"] == 1 and shown["epoch"] not in {e for e, _, _ in was.values()}, shown
            assert centre.state_of(records[8][0]) == "delivered"
            until(lambda: is_complete(station), "the copy goes on")
            # What was missing is written anew only if the journal has it.
            assert len(list(folder.glob("*/*.titip"))) == 9


def test_a_centre_is_made_from_its_second_copy_and_its_stations_notice_nothing():
    with World() as world, other_disk(world) as folder:
        centre, station = world.centre(mirror=folder).start(), world.station().start()
        records = world.records(3)
        for _, file in records:
            station.submit(file)
        station.wait_drained()
        until(lambda: is_complete(centre), "all are on it")
        receipts = [station.titip("receipt", record).stdout for record, _ in records]
        centre.stop()
        shutil.rmtree(world.path / "centre")
        done = run(harness.BIN / "titip", "--json", "restore", "--config", centre.config, "--from", folder)
        assert done.returncode == 0 and b'"records":3' in done.stdout, done
        centre.start()
        assert {r["id"]: r["state"] for r in centre.list()} == {record: "delivered" for record, _ in records}
        assert [centre.titip("receipt", record).stdout for record, _ in records] == receipts
        station.stop()
        station.start()
        until(lambda: station.link()["up"], "the link is up")
        (_, file), = world.records(1, seed=2)
        station.submit(file)
        station.wait_drained()
        assert station.status()["findings"] == [] and centre.status()["findings"] == []


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
