"""The second copy: on a disk that is not a good one, that is pulled out, full, or all that is left."""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import harness
from harness import STATION, CuttingProxy, World, run, until


NOBODY = 65534
KINDS = {"vfat": ["mkfs.vfat"], "exfat": ["mkfs.exfat"], "ext4": ["mkfs.ext4", "-q", "-F"]}


class Disk:
    """A small disk of a kind that people have: FAT where the kernel knows it, else exFAT over FUSE,
    else ext4. None of them can be used without root and a loop device."""

    def __init__(self, world, megabytes=64, name="disk", kinds=("vfat", "exfat", "ext4")):
        if os.geteuid() != 0:
            raise harness.Skipped("needs root")
        self.image = world.path / f"{name}.image"
        self.path = world.path / name
        self.path.mkdir()
        self.device = None
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        for kind in kinds:
            make = KINDS[kind]
            if shutil.which(make[0]) and run(*make, self.image).returncode == 0 and self._mount(kind):
                self.kind = kind
                print(f"  on {kind}")
                return
        raise harness.Skipped(f"needs a loop device and one of {kinds}")

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

    def _drivers(self):
        return run("pgrep", "-f", f"mount.exfat-fuse {self.device} {self.path}").stdout.split()

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
            # By itself it ends with the last mount, and who has a mount namespace of its own (ip netns exec, beside us)
            # may have taken one along.
            for driver in self._drivers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(driver), signal.SIGTERM)
            until(lambda: not self._drivers(), "the driver has ended")
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


def marked(node):
    done = run(harness.BIN / "titip", "mark-disk", "--config", node.config)
    assert done.returncode == 0 and b"second disk of" in done.stdout, done
    return node


def restore(node, folder, *options, before=()):
    return run(*before, harness.BIN / "titip", "restore", "--config", node.config, "--from", folder, *options)


def is_whole(file):
    content = file.read_bytes()
    return content.startswith(b"titip-record 1\n") and hashlib.sha256(content[:-32]).digest() == content[-32:]


def records_on(folder):
    return {file.name[20:56] for file in folder.glob("*/*.titip")}


def as_nobody(world):
    """What a service's own user may not do, root may: runs a node as one that owns nothing else."""
    for path in [world.path, *world.path.iterdir()]:
        if not os.path.ismount(path):
            os.chown(path, NOBODY, NOBODY)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


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
        assert "plug it in" in words(station) and "3 records are not on it yet (3 nowhere else)" in words(station), words(station)
        assert not any(disk.path.iterdir()), "nothing is written to the folder below"
        assert "titip_second_copy_missing_records 3" in station.http("GET", "/v1/metrics")[2].decode()
        # An office switches its machine on each morning: how long it has been, and how many, is still known.
        station.kill()
        station.start()
        until(lambda: copy_of(station)["trouble_since_ms"] == copy["trouble_since_ms"], "since when is not forgotten")
        assert copy_of(station)["missing"] == 3, copy_of(station)
        assert station.submit(records[6][1]).returncode == 0
        until(lambda: copy_of(station)["missing"] == 4, "one more")
        assert not copy_of(station)["is_counted"]
        disk.put_in()
        until(lambda: is_complete(station), "it catches up by itself")
        assert records_on(disk.path) == {record for record, _ in records[:7]}
        assert all(is_whole(file) for file in disk.files())
        for record, file in records[7:]:
            assert station.submit(file).returncode == 0
            disk.pull_out()
            disk.put_in()
        until(lambda: is_complete(station), "it catches up once more")
        assert len(disk.files()) == 9
        assert lines_with(station, "second-copy-trouble")
        for word in ("second-copy-trouble", "second-copy-good"):
            assert len(lines_with(station, word)) <= 4, lines_with(station, word)
        assert len(station.list()) == 9


def test_on_a_full_second_disk_records_are_accepted_and_what_was_erased_makes_room():
    with World() as world, disk_of(world, megabytes=8) as disk:
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


def test_a_second_disk_that_takes_no_more_files_is_not_called_too_small():
    with World() as world, disk_of(world, megabytes=32, kinds=("ext4",)) as disk:
        taken = disk.path / "other"
        taken.mkdir()
        station = world.station(mirror=disk.path)
        records = world.records(3)
        assert run(harness.BIN / "titip", "mark-disk", "--config", station.config).returncode == 0
        with contextlib.suppress(OSError):
            for each in range(100_000):
                (taken / str(each)).touch()
        assert os.statvfs(disk.path).f_favail == 0, os.statvfs(disk.path)
        station.start()
        for _, file in records:
            assert station.submit(file).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "full", "it takes no more")
        assert copy_of(station)["takes_no_more_files"] is True, copy_of(station)
        assert os.statvfs(disk.path).f_bavail * os.statvfs(disk.path).f_frsize > 8 << 20
        said = words(station)
        assert "the disk has room, and takes no more files" in said and "use a larger one" not in said, said
        shutil.rmtree(taken)
        until(lambda: is_complete(station), "then it takes them", 120)
        until(lambda: copy_of(station).get("disk", {}).get("files_left"), "and says how many it takes")


def test_a_second_disk_that_can_only_be_read_is_said_so():
    with World() as world, disk_of(world) as disk:
        if disk.kind == "exfat":
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
        centre, station = world.centre(), marked(world.station(mirror=folder)).start()
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
        centre, station = world.centre().start(), marked(world.station(mirror=folder)).start()
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
            station = marked(world.station(port=proxy.port, mirror=folder, keep="30 days")).start()
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

            # A part is not put in place as the whole unasked.
            done = restore(station, folder)
            assert done.returncode == 6 and b"6 records can be restored and 2 files cannot" in done.stderr, done
            assert not (world.path / "station/data.mdb").exists()
            done = restore(station, folder, "--without-damaged")
            said = done.stdout.decode()
            assert done.returncode == 1 and "6 records" in said and "2 files could not be used" in said, (said, done.stderr)
            assert records[1][0] in said and "not complete" in said
            assert records[7][0] in said and "no longer has the bytes" in said
            assert f"{STATION} {was[records[1][0]][0][:8]}: 2\n" in said, said
            again = restore(station, folder)
            assert again.returncode == 6 and b"is not empty" in again.stderr, again

            before = proxy.up_bytes
            station.start()
            assert station.status()["paused"] and "begins paused" in said, said
            assert station.titip("resume").returncode == 0
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
        centre, station = marked(world.centre(mirror=folder)).start(), world.station().start()
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


def test_a_restore_is_the_whole_or_nothing():
    with World() as world, other_disk(world) as folder:
        station = marked(world.station(mirror=folder)).start()
        records = world.records(3)
        for _, file in records:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        state = world.path / "station"
        assert b"in use" in restore(station, folder).stderr
        station.stop()
        kept = state.with_name("kept")
        state.rename(kept)

        def refused(done, *what):
            assert done.returncode == 6 and not (state / "data.mdb").exists(), done
            for each in what:
                assert each in done.stderr.decode(), done

        # One Tab too many, the wrong disk, a record's file that the disk cannot read.
        part, = (each for each in folder.iterdir() if each.is_dir())
        refused(restore(station, part), "is a part of a second copy", str(folder))
        empty = world.path / "empty"
        empty.mkdir()
        refused(restore(station, empty), "there is no record in this folder")
        # A path that was mistyped makes no store somewhere else.
        text = station.config.read_text()
        station.config.write_text(text.replace(str(state), f"{world.path}/not/there"))
        refused(restore(station, folder), "there is no directory")
        assert not (world.path / "not").exists()
        station.config.write_text(text)
        # A store of which only data.mdb is gone is not forgotten by a restore that was refused.
        station.start()
        station.stop()
        (state / "data.mdb").rename(world.path / "data.mdb")
        refused(restore(station, folder), "is not empty")
        station.start()
        assert "SAFE MODE" in station.titip("status").stdout.decode() and station.titip("status").returncode == 7
        station.stop()
        state.rename(world.path / "older")
        # Power failed in the middle: no empty store takes the place, and it can be run again.
        (state / "restoring").mkdir(parents=True)
        (state / "restoring/data.mdb").write_bytes(bytes(9999))
        (state / "lost+found").mkdir()
        # Somebody copied a file: it is one record.
        shutil.copy(next(part.iterdir()), folder)
        station.start(create=False)
        done = station.titip("status")
        assert done.returncode == 7 and b"NO STORE HERE" in done.stdout and b"was not finished" in done.stdout, done
        assert b"was not finished" in station.create().stderr
        station.stop()
        assert not (state / "data.mdb").exists()
        done = restore(station, folder)
        assert done.returncode == 0 and b"3 records" in done.stdout, done
        assert not (state / "restoring").exists()
        station.start()
        assert len(station.list()) == 3


def test_what_was_salvaged_from_a_store_is_taken_in_by_a_new_one():
    with World() as world:
        centre, station = world.centre(), world.station().start()
        records = world.records(4)
        for _, file in records:
            station.submit(file)
        station.stop()
        state, out = world.path / "station", world.path / "salvaged"
        # The first pages are gone: no tree leads to the records any more.
        with (state / "data.mdb").open("r+b") as data:
            data.write(bytes(2 * 4096))
        done = station.titip("salvage", out, "--state", state)
        assert b"4 records saved" in done.stdout, done
        state.rename(world.path / "old")
        done = restore(station, out)
        assert done.returncode == 0 and b"4 records" in done.stdout, done
        station.start()
        assert {r["id"] for r in station.list()} == {record for record, _ in records}
        # Whoever submits the same file again has nothing to do, and above all nobody to record again.
        done = station.submit(records[0][1])
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == 0 and "put back from the second copy" in said, done
        assert "whether the bytes are the same cannot be told. Do not record again." in said, said
        status, _, answer = station.http("PUT", f"/v1/records/{records[0][0]}", records[0][1].read_bytes())
        assert status == 200 and json.loads(answer)["is_compared"] is False, (status, answer)
        centre.start()
        assert station.titip("resume").returncode == 0
        station.http("POST", "/v1/link/probe")
        station.wait_drained()
        assert {r["id"] for r in centre.list()} == {record for record, _ in records}
        assert station.status()["findings"] == centre.status()["findings"] == []


def test_a_restore_reads_as_the_daemons_user_and_stops_where_the_disk_does():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root, to be somebody else")
    with World() as world, other_disk(world) as folder:
        station = marked(world.station(mirror=folder)).start()
        for _, file in world.records(3):
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        station.stop()
        state = world.path / "station"
        shutil.rmtree(state)
        state.mkdir(mode=0o700)
        nobody = as_nobody(world)
        # Root reads as the daemon does: what it would read in its place may be out of the daemon's reach.
        done = restore(station, folder)
        assert done.returncode == 6 and b"Permission denied" in done.stderr, done
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        (folder / "lost+found").mkdir(mode=0o700)
        last = max(folder.glob("*/*.titip"))
        last.chmod(0)
        done = restore(station, folder, "--without-damaged", before=nobody)
        assert done.returncode == 6 and b"Permission denied" in done.stderr, done
        assert not (state / "data.mdb").exists()
        last.chmod(0o600)
        before = station.mark.read_bytes()
        done = restore(station, folder)
        assert done.returncode == 0 and b"3 records" in done.stdout, done
        assert (state / "data.mdb").stat().st_uid == NOBODY, "the daemon could not open one of root's"
        station.start(before=nobody)
        assert len(station.list()) == 3
        # It is another store than the one that was lost, and that is meant.
        assert station.mark.read_bytes() != before and "ALARM" not in words(station), words(station)


def test_the_centre_takes_no_record_without_the_receipt_that_it_gave():
    with World() as world, other_disk(world) as folder:
        centre, station = world.centre(), marked(world.station(mirror=folder)).start()
        for _, file in world.records(2):
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        station.stop()
        done = restore(centre, folder)
        assert done.returncode == 6 and b"no receipt of this node in it" in done.stderr, done
        assert b"no record in it can be used" in done.stderr and not (world.path / "centre/data.mdb").exists()


def test_on_ext4_a_daemon_that_is_not_root_keeps_a_second_copy():
    with World() as world, disk_of(world, kinds=("ext4",)) as disk:
        station = world.station(mirror=disk.path)
        nobody = as_nobody(world)
        station.start(before=nobody)
        records = world.records(2)
        assert station.submit(records[0][1]).returncode == 0
        until(lambda: copy_of(station)["trouble"] == "forbidden", "it may not write there")
        assert "may not write there: call the administrator" in words(station), words(station)
        os.chown(disk.path, NOBODY, NOBODY)
        until(lambda: is_complete(station), "it is on the disk")
        assert station.submit(records[1][1]).returncode == 0
        until(lambda: is_complete(station), "both are")
        assert records_on(disk.path) == {record for record, _ in records}
        assert (disk.path / "lost+found").is_dir()


def test_whatever_the_disk_has_when_it_is_pulled_out_is_made_whole_again():
    """The image is copied at any moment: it has exactly what the disk would have."""
    with World() as world, disk_of(world, kinds=("vfat", "ext4"), megabytes=96) as disk:
        station = world.station(mirror=disk.path).start()
        until(lambda: is_complete(station), "the disk is there")
        records = world.records(40, size_bytes=600_000)
        random.seed(4711)
        submitter = threading.Thread(
            target=lambda: [station.submit(file) for _, file in records], daemon=True)
        submitter.start()
        torn = 0
        pulled = world.path / "pulled.image"
        mounted = world.path / "pulled"
        mounted.mkdir()
        for _ in range(12):
            time.sleep(random.uniform(0.0, 0.25))
            there = {r["id"] for r in station.list()}
            copy = copy_of(station)
            known = there if copy["missing"] == 0 and copy["is_counted"] else set()
            station.process.send_signal(signal.SIGSTOP)
            run("cp", "--sparse=always", disk.image, pulled)
            station.process.send_signal(signal.SIGCONT)
            assert run("mount", "-o", "loop", "-t", disk.kind, pulled, mounted).returncode == 0
            try:
                whole = {f.name[20:56] for f in mounted.glob("*/*.titip") if is_whole(f)}
                torn += len(records_on(mounted)) - len(whole)
                assert known <= whole, (len(known), len(whole))
            finally:
                assert run("umount", mounted).returncode == 0
        submitter.join()
        print(f"  {torn} torn files in 12 images")
        # The one that was pulled out comes back; one file of it is cut as fsck cuts them, one has lost its end.
        station.stop()
        disk.pull_out()
        shutil.copy(pulled, disk.image)
        disk.put_in()
        victims = disk.files()[:2]
        assert len(victims) == 2
        os.truncate(victims[0], 4096 * 40)
        with open(victims[1], "r+b") as file:
            file.seek(-5000, os.SEEK_END)
            file.write(bytes(5000))
        station.start()
        until(lambda: is_complete(station), "it catches up")
        assert records_on(disk.path) == {record for record, _ in records}
        assert all(is_whole(file) for file in disk.files())


def test_a_disk_that_is_gone_under_its_mount_is_noticed_while_nothing_is_written():
    with World() as world, disk_of(world, kinds=("ext4",)) as disk:
        station = world.station(mirror=disk.path).start()
        (_, file), = world.records(1)
        station.submit(file)
        until(lambda: is_complete(station), "it is on the disk")
        os.sync()
        os.truncate(disk.image, 0)
        assert os.stat(disk.path) and os.access(disk.path / "titip-copy", os.R_OK), "the kernel knows names still"
        until(lambda: copy_of(station)["trouble"] == "failed", "it is noticed", 90)
        assert "unplug it and plug it in again" in words(station), words(station)


def test_a_disk_that_is_pulled_out_while_it_is_listed_is_not_said_to_lose_what_is_written_to_it():
    with World() as world, disk_of(world, kinds=("ext4",)) as disk:
        station = world.station(mirror=disk.path).start()
        for _, file in world.records(5):
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        station.stop()
        os.sync()
        # The kernel knows names, sizes and the mark still, and nothing of what the files hold.
        assert len(disk.files()) == 5 and (disk.path / "titip-copy").read_bytes()
        os.truncate(disk.image, 0)
        station.start()
        told = until(lambda: lines_with(station, "second-copy-"), "it is noticed")
        assert "second-copy-trouble" in told[0] and "why=failed" in told[0], told
        assert copy_of(station)["lost"] == 0, copy_of(station)


def test_another_disk_in_the_same_place_is_noticed_and_another_stations_is_refused():
    with World() as world, disk_of(world) as disk, disk_of(world, name="second") as second:
        second.pull_out()
        station = world.station(mirror=disk.path).start()
        records = world.records(3)
        for _, file in records[:2]:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        disk.pull_out()
        first, disk.image = disk.image, second.image
        disk.put_in()
        station.submit(records[2][1])
        until(lambda: is_complete(station) and len(disk.files()) == 3, "all three are on the new one")
        disk.pull_out()
        disk.image = first
        disk.put_in()
        until(lambda: is_complete(station) and len(disk.files()) == 3, "and on the old one", 90)
        marker = disk.path / "titip-copy"
        marker.write_text(marker.read_text().replace(STATION, "kab-bintan-01"))
        until(lambda: copy_of(station)["trouble"] == "other-station", "it is another's", 90)
        assert "another station's" in words(station), words(station)
        disk.pull_out()
        # A disk with other things on it is asked about, and not taken.
        disk.image = second.image
        disk.put_in()
        (disk.path / "titip-copy").unlink()
        until(lambda: copy_of(station)["trouble"] == "not-marked", "it was not marked", 90)
        assert "titip mark-disk" in words(station)
        marked(station)
        until(lambda: is_complete(station), "now it is")


def test_a_disk_that_hangs_is_said_so_and_holds_up_nothing_else():
    with World() as world, disk_of(world, kinds=("exfat",)) as disk:
        centre, station = world.centre(), world.station(mirror=disk.path).start()
        (first, file), (second, other) = world.records(2)
        station.submit(file)
        until(lambda: is_complete(station), "it is on the disk")
        sealed = station.http("GET", f"/v1/records/{first}/envelope")[2]
        driver = int(run("pgrep", "-f", f"mount.exfat-fuse {disk.device}").stdout.split()[0])
        os.kill(driver, signal.SIGSTOP)
        try:
            # Sending finds it rotten, and its repair waits for the disk: not for ever.
            rot(station, sealed)
            centre.start()
            assert station.submit(other).returncode == 0
            until(lambda: station.state_of(second) == "delivered", "the other one is sent")
            until(lambda: copy_of(station)["trouble"] == "hangs", "it hangs", 120)
            assert "does not answer" in words(station), words(station)
            until(lambda: station.state_of(first) == "quarantined", "it is set aside after all")
            until(lambda: lines_with(station, "second-copy-hangs"), "the log says so")
        finally:
            os.kill(driver, signal.SIGCONT)
        until(lambda: station.state_of(first) == "delivered", "repaired, and sent")
        until(lambda: is_complete(station), "it answers again")
        until(lambda: lines_with(station, "second-copy-answers"), "that is said as well")
        assert centre.http("GET", f"/v1/records/{first}/envelope")[2] == sealed


def test_copies_that_rotted_in_a_drawer_are_found_by_reading_and_written_again():
    """Right in name and size, older than those that a listing reads: only reading every one tells."""
    with World() as world, other_disk(world) as folder:
        station = marked(world.station(mirror=folder)).start()
        records = world.records(50, size_bytes=20_000)
        for _, file in records:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        station.stop()
        files = sorted(folder.glob("*/*.titip"))
        good = {file: file.read_bytes() for file in files}
        files[0].write_bytes(bytes(len(good[files[0]])))                      # zeros, of the right size
        files[1].write_bytes(good[files[1]][:-9] + bytes(9))
        files[2].write_bytes(good[files[9]])                                  # a stick that is smaller than it says
        for file in files[:3]:
            os.utime(file, (0, 0))
        station.start()
        until(lambda: copy_of(station)["lost"] == 3, "they are found")
        until(lambda: is_complete(station) and copy_of(station)["unread"] == 0, "they are written again, and all is read")
        assert {file: file.read_bytes() for file in files} == good
        assert "loses what is written to it: use another one" in words(station), words(station)
        assert len(lines_with(station, "second-copy-ruined")) == 3 and len(lines_with(station, "second-copy-loses")) == 1
        assert "titip_second_copy_lost_files 3" in station.http("GET", "/v1/metrics")[2].decode()
        # It is the same disk tomorrow, and is not believed for having been read once.
        station.stop()
        station.start()
        until(lambda: is_complete(station) and copy_of(station)["unread"] == 0, "all is read again")
        assert copy_of(station)["lost"] == 3
        assert 0 < copy_of(station)["oldest_read_ms"] <= time.time() * 1000
        # A mark that is ruined is none of an empty disk's.
        station.stop()
        (folder / "titip-copy").write_bytes(bytes(80))
        station.start()
        until(lambda: copy_of(station)["trouble"] == "mark-ruined", "it says so")
        assert "no longer has the mark that was written to it: use another one" in words(station), words(station)
        # Another disk, and it is over.
        (folder / "titip-copy").unlink()
        marked(station)
        until(lambda: is_complete(station), "the new one is complete")
        assert copy_of(station)["lost"] == 0 and "ALARM" not in words(station)
        station.stop()
        shutil.rmtree(world.path / "station")
        assert restore(station, folder).returncode == 0


def test_one_file_that_the_disk_does_not_give_keeps_no_other_from_being_restored():
    preload = {"LD_PRELOAD": str(harness.BIN / "libtitip_failing_sync.so")}
    if run(harness.BIN / "titipd", "--version", env={**os.environ, **preload}).returncode != 0:
        print("skipped: nothing can be preloaded here")
        return
    with World() as world, other_disk(world) as folder:
        station = marked(world.station(mirror=folder)).start()
        records = world.records(4, size_bytes=20_000)
        for _, file in records:
            station.submit(file)
        until(lambda: is_complete(station), "all are on it")
        station.stop()
        shutil.rmtree(world.path / "station")
        bad = {**os.environ, **preload, "TITIP_UNREADABLE": records[1][0]}
        titip = [harness.BIN / "titip", "restore", "--config", station.config, "--from", folder]
        done = run(*titip, env=bad)
        assert done.returncode == 6 and b"3 records can be restored and 1 files cannot" in done.stderr, done
        done = run(*titip, "--without-damaged", env=bad)
        assert done.returncode == 1 and b"the disk does not give it" in done.stdout, done
        station.start()
        assert {r["id"] for r in station.list()} == {record for record, _ in records} - {records[1][0]}


def test_a_disk_that_loses_what_is_written_to_it_is_said_at_once_and_not_written_to_for_ever():
    preload = {"LD_PRELOAD": str(harness.BIN / "libtitip_failing_sync.so")}
    if run(harness.BIN / "titipd", "--version", env={**os.environ, **preload}).returncode != 0:
        print("skipped: nothing can be preloaded here")
        return
    with World() as world, other_disk(world) as folder:
        sign = world.path / "forgets"
        sign.touch()
        station = marked(world.station(mirror=folder))
        station.start(environment={**preload, "TITIP_DISK_FORGETS": str(sign)})
        records = world.records(3, size_bytes=20_000)
        for _, file in records[:2]:
            assert station.submit(file).returncode == 0
        # Each is written twice, and no more; and none counts as copied.
        until(lambda: copy_of(station)["beyond_help"] == 2, "it is known")
        copy = copy_of(station)
        assert (copy["missing"], copy["only_here"], copy["lost"], copy["trouble"]) == (2, 2, 4, "none"), copy
        assert "ALARM: the disk at" in words(station) and "2 of them are not written to it any more" in words(station), words(station)
        sign.unlink()
        assert station.submit(records[2][1]).returncode == 0
        until(lambda: records[2][0] in {f.name[20:56] for f in folder.glob("*/*.titip") if is_whole(f)},
              "what is new is written all the same")
        assert copy_of(station)["missing"] == 2


def test_the_service_may_write_where_disks_are_mounted():
    unit = (harness.SOURCE / "systemd/titipd.service").read_text()
    assert "ReadWritePaths=-/media -/mnt -/run/media\n" in unit
    folders = (harness.SOURCE / "systemd/titip.tmpfiles").read_text()
    assert "d /var/lib/titip 0700 titip titip -\n" in folders


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
