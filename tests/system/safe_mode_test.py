"""Stores that go bad under a daemon, for real: it ends with the reason, comes back in safe mode, and
stays there until an operator has looked. What can be saved is."""

import contextlib
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

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


def test_a_start_that_fails_for_another_reason_says_nothing_against_the_store():
    """A port that is taken, or an address that the network has not given yet, for longer than eight starts."""
    with World() as world:
        centre = world.centre().start()
        centre.stop()
        with socket.create_server(("127.0.0.1", world.port)):
            for _ in range(10):
                centre.start(wait=False)
                assert ended(centre) == 1, centre.log()
                assert marker(centre) == "no", marker(centre)
        centre.start()
        assert centre.titip("status").returncode == 0


@contextlib.contextmanager
def small_disk(world, options):
    """A file system in memory."""
    disk = world.path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk).returncode != 0:
        raise harness.Skipped("needs root and a mount")
    try:
        yield disk
    finally:
        for node in world.nodes:
            node.stop()
        run("umount", disk)


def test_a_full_disk_that_has_no_place_for_the_marker_does_not_keep_a_store_closed():
    """As after an upgrade: the store is older than the marker."""
    with World() as world, small_disk(world, "size=256m,nr_inodes=32") as disk:
        station = world.station(state=disk / "state").start()
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0
        station.stop()
        (disk / "state" / "untrusted").unlink()
        with contextlib.suppress(OSError):
            for n in range(100):
                (disk / f"filler-{n}").touch()
        station.start()
        assert station.titip("status").returncode == 0
        assert len(station.list()) == 1 and not (disk / "state" / "untrusted").exists()


def test_safe_mode_of_a_disk_that_could_not_be_written_ends_by_trust_once_it_can():
    with World() as world, small_disk(world, "size=256m") as disk:
        station = world.station(state=disk / "state").start()
        for _, file in world.records(2):
            assert station.submit(file).returncode == 0
        station.stop()
        (disk / "state" / "untrusted").unlink()
        assert run("mount", "-o", "remount,ro", disk).returncode == 0
        station.start()
        check_safe_mode(station, "Read-only file system")
        assert verified(station)[0] == 0
        assert run("mount", "-o", "remount,rw", disk).returncode == 0
        assert station.titip("trust").returncode == 0
        assert ended(station) == 0
        station.start()
        assert station.titip("status").returncode == 0


def test_a_rotten_index_ends_the_process_and_the_next_start_is_safe_mode():
    with World() as world:
        station = world.station().start()
        records = world.records(3)
        for _, file in records[:2]:
            station.submit(file)
        station.stop()
        Pages(station).flip_a_byte_of("numbering")
        station.start(wait=False)  # what it asks the upstream first has the numbering in it
        assert ended(station) == 7
        station.start()
        check_safe_mode(station, "Numbering")


def test_a_sync_that_fails_ends_the_process_and_the_next_start_is_safe_mode():
    preload = {"LD_PRELOAD": str(BIN / "libtitip_failing_sync.so")}
    if run(BIN / "titipd", "--version", env={**os.environ, **preload}).returncode != 0:
        raise harness.Skipped("a sanitizer's runtime wants to be loaded first")
    with World() as world:
        sign = world.path / "fails"
        station = world.station().start(environment={**preload, "TITIP_SYNC_FAILS": str(sign)})
        records = world.records(2)
        assert station.submit(records[0][1]).returncode == 0
        sign.touch()
        assert station.submit(records[1][1]).returncode != 0
        assert ended(station) == 7
        assert "Input/output error" in marker(station), marker(station)
        sign.unlink()
        station.start()
        check_safe_mode(station, "Input/output error")


def test_a_store_that_cannot_be_opened_on_a_full_disk_is_trusted_still():
    """LMDB says EIO of a short write too."""
    preload = {"LD_PRELOAD": str(BIN / "libtitip_failing_sync.so")}
    if run(BIN / "titipd", "--version", env={**os.environ, **preload}).returncode != 0:
        raise harness.Skipped("a sanitizer's runtime wants to be loaded first")
    with World() as world:
        fails, full = world.path / "fails", world.path / "full"
        signs = {**preload, "TITIP_SYNC_FAILS": str(fails), "TITIP_DISK_FULL": str(full)}
        station = world.station().start()
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0
        station.stop()
        fails.touch()
        full.touch()
        station.start(wait=False, environment=signs)
        assert ended(station) == 1 and "the disk is full" in station.log(), station.log()
        assert marker(station) == "no", marker(station)
        fails.unlink()
        station.start(environment=signs)
        assert station.titip("status").returncode == 0
        station.stop()
        fails.touch()
        full.unlink()
        station.start(environment=signs)
        check_safe_mode(station, "Input/output error")


def test_a_disk_that_takes_no_more_writes_leads_to_safe_mode_without_a_marker():
    with World() as world:
        image, disk = world.path / "image", world.path / "disk"
        disk.mkdir()
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        if os.geteuid() != 0 or run("mkfs.ext4", "-q", "-F", image).returncode != 0 or run(
                "mount", "-o", "loop,errors=remount-ro", image, disk).returncode != 0:
            raise harness.Skipped("needs root and a loop device")
        try:
            device = pathlib.Path(run("findmnt", "-no", "SOURCE", disk).stdout.decode().strip()).name
            trigger = pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
            station = world.station(state=disk / "state").start()
            records = world.records(2)
            assert station.submit(records[0][1]).returncode == 0
            try:
                trigger.write_text("a fault")
            except OSError as why:
                raise harness.Skipped(str(why)) from None
            assert station.submit(records[1][1]).returncode != 0
            assert ended(station) == 7
            assert "`untrusted` cannot be written" in station.log(), station.log()
            station.start()
            check_safe_mode(station, "Read-only file system")
        finally:
            for node in world.nodes:
                node.stop()
            run("umount", disk)


def verified(node):
    """What titip verify says as JSON: (exit code, differences, last line)."""
    done = node.titip("--json", "verify")
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert lines[-1]["what"] == "end", lines
    return done.returncode, [each["sentence"] for each in lines if each["what"] == "difference"], lines[-1]


def leave_it_to_verify(node):
    """The scrub has just been through: else it may find first what the verification is to find."""
    now = int(time.time() * 1000)
    (node.state / "scrub").write_text(f"{2**32} {now} {now}\n")


def fill(world, count=4, size_bytes=300_000):
    """A station with records, stopped: (station, [(id, file)])."""
    station = world.station().start()
    records = world.records(count, size_bytes=size_bytes)
    for _, file in records:
        assert station.submit(file).returncode == 0
    return station, records


def test_verify_of_a_good_store_finds_nothing_while_work_goes_on():
    with World() as world:
        station, records = fill(world)
        world.centre().start()
        code, differences, end = verified(station)
        assert (code, differences, end["outcome"], end["records"]) == (0, [], "clean", 4), (code, differences, end)
        station.wait_drained()
        assert verified(station)[0] == 0
        done = station.titip("verify")
        assert done.returncode == 0 and b"Clean: 4 records" in done.stdout, done
        assert station.titip("trust").returncode == 6, "it is trusted already"
        assert station.http("GET", "/v1/verify?after=1000000&wait_s=30")[0] == 404, "of a daemon before this one"


def test_who_may_only_read_does_not_make_the_disk_work_nor_ends_safe_mode():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root to become another")
    with World() as world:
        station, _ = fill(world, count=1)
        station.stop()
        config = station.config.read_text()
        station.config.write_text(config.replace('operate = "root"', 'operate = "nogroup"'))
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a test\n")
        station.start()
        assert station.titip("verify").returncode == 4
        assert station.titip("trust").returncode == 4
        operator = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN / "titip", "--socket", station.socket)
        assert run(*operator, "verify").returncode == 0
        assert station.titip("trust").returncode == 4
        assert station.titip("status").returncode == 7
        assert run(*operator, "trust").returncode == 0
        assert ended(station) == 0


def test_verify_names_the_record_whose_bytes_are_not_what_was_written():
    with World() as world:
        station, records = fill(world)
        _, _, sealed = station.http("GET", f"/v1/records/{records[1][0]}/envelope")
        station.stop()
        pages = Pages(station)
        pages.change(pages.path.read_bytes().index(sealed[100_000:100_400]) + 200, lambda old: old ^ 0x10)
        leave_it_to_verify(station)
        station.start()
        code, differences, end = verified(station)
        assert code == 1 and end["outcome"] == "differs" and len(differences) == 1, (code, differences)
        assert records[1][0] in differences[0]
        assert station.titip("status").returncode == 0, "one record's bytes are no reason to stop"
        # It is set aside at once, as by whoever else finds it; and that something was found stands.
        until(lambda: station.state_of(records[1][0]) == "quarantined", "it is set aside")
        assert station.show(records[1][0])["reason"] == "rotten"
        assert station.status()["verified"]["differences"] == 1, station.status()
        said = station.titip("status").stdout.decode()
        assert "ALARM: titip verify found 1 difference on 20" in said, said
        assert "verify difference=" in station.log()
        assert "titip_verify_differences 1" in station.http("GET", "/v1/metrics")[2].decode()
        station.stop()
        station.start()
        assert station.status()["verified"]["differences"] == 1, "over a restart too"
        code, differences, end = verified(station)
        assert (code, differences, end["outcome"]) == (0, [], "clean"), (code, differences, end)
        assert "verified" not in station.status(), "it was looked at"
        assert [e["event"] for e in station.show(records[1][0])["story"]].count("quarantine") == 1


def test_verify_of_rot_that_the_next_custodian_holds_is_an_alarm_and_nothing_is_set_aside():
    with World() as world:
        centre, (station, records) = world.centre().start(), fill(world)
        station.wait_drained()
        record = records[1][0]
        sealed = centre.http("GET", f"/v1/records/{record}/envelope")[2]
        station.stop()
        pages = Pages(station)
        pages.change(pages.path.read_bytes().index(sealed[100_000:100_400]) + 200, lambda old: old ^ 0x10)
        leave_it_to_verify(station)
        station.start()
        assert verified(station)[0] == 1
        until(lambda: station.show(record).get("rotten_at_ms"), "the row tells")
        assert station.state_of(record) == "delivered"
        assert station.status()["verified"]["differences"] == 1


def test_safe_mode_ends_by_trust_after_a_verification_that_found_nothing():
    with World() as world:
        station, records = fill(world)
        station.stop()
        before = Pages(station).path.read_bytes()
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a sync failed\n")
        station.start()
        check_safe_mode(station, "a sync failed")
        refused = station.titip("trust")
        assert refused.returncode == 6 and b"titip verify first" in refused.stderr, refused
        code, differences, end = verified(station)
        assert (code, differences, end["records"]) == (0, [], 4), (code, differences, end)
        assert Pages(station).path.read_bytes() == before, "looking changes nothing"
        assert station.titip("trust").returncode == 0
        assert ended(station) == 0
        station.start()
        assert station.titip("status").returncode == 0
        assert {r["id"] for r in station.list()} == {record for record, _ in records}


def test_verify_in_safe_mode_says_what_is_wrong_and_trust_is_refused():
    with World() as world:
        station, records = fill(world)
        station.stop()
        Pages(station).flip_a_byte_of("numbering")
        before = Pages(station).path.read_bytes()
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a test\n")
        station.start()
        code, differences, end = verified(station)
        assert code == 1 and end["outcome"] == "differs" and any("Numbering" in each for each in differences), differences
        assert end["records"] == 4, "it goes on behind what it found"
        assert Pages(station).path.read_bytes() == before
        assert station.titip("trust").returncode == 6
        assert b"NOT CLEAN" in station.titip("verify").stdout


def children(node):
    """Process ids."""
    text = pathlib.Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text()
    return [int(each) for each in text.split()]


def sockets_of(process):
    return sum(os.readlink(each).startswith("socket:") for each in pathlib.Path(f"/proc/{process}/fd").iterdir())


def test_a_store_that_ends_or_hangs_who_looks_at_it_leaves_the_daemon_to_say_so():
    with World() as world:
        station, records = fill(world)
        station.stop()
        data = Pages(station).path
        good = data.read_bytes()
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a test\n")
        # Both meta pages lead behind the end: a page there is SIGBUS.
        os.truncate(data, 2 * PAGE)
        station.start()
        code, differences, end = verified(station)
        # Under a sanitizer it aborts.
        assert code == 7 and end["outcome"] == "died" and end["why"] in ("Bus error", "Aborted"), (code, end)
        assert differences, "what was found before it died"
        # Neither is one.
        data.write_bytes(bytes(2 * PAGE) + good[2 * PAGE:])
        code, differences, end = verified(station)
        assert code == 7 and end["outcome"] == "unopened", (code, end)
        data.unlink()
        assert verified(station)[2]["outcome"] == "unopened"
        os.mkfifo(data)
        with subprocess.Popen([BIN / "titip", "--socket", station.socket, "--json", "verify"],
                              stdout=subprocess.PIPE) as asking:
            child = until(lambda: children(station), "somebody looks at the store")[0]
            assert until(lambda: sockets_of(child) == 0 and True, "it has none of the daemon's sockets", 10)
            end = json.loads(asking.stdout.read().splitlines()[-1])
        assert asking.returncode == 7 and end["outcome"] == "hung", (asking.returncode, end)
        assert not children(station), "and it is gone"
        assert station.titip("status").returncode == 7
        assert station.titip("trust").returncode == 6


def test_a_daemon_that_is_to_end_does_not_wait_for_an_examination():
    with World() as world:
        station, _ = fill(world, count=1)
        station.stop()
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a test\n")
        data = Pages(station).path
        data.unlink()
        os.mkfifo(data)
        station.start()
        with subprocess.Popen([BIN / "titip", "--socket", station.socket, "verify"], stderr=subprocess.PIPE) as asking:
            until(lambda: children(station), "somebody looks at the store")
            began = time.monotonic()
            assert station.stop() == 0
            assert time.monotonic() - began < 3, "it was told to end, and did not wait for the limit"
            assert b"went away" in asking.stderr.read()
        assert asking.returncode == 3, asking.returncode


def envelopes(node):
    """What the node holds: {id: SHA-256 of the envelope}."""
    return {record["id"]: hashlib.sha256(node.http("GET", f"/v1/records/{record['id']}/envelope")[2]).hexdigest()
            for record in node.list()}


def salvaged(node, folder):
    """(exit code, {id: SHA-256 of the envelope saved}, the losses, the last line)."""
    done = run(BIN / "titip", "--json", "salvage", "--state", node.world.path / node.name, folder)
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    saved = {}
    for file in folder.glob("*/*.titip"):
        data = file.read_bytes()
        header = int.from_bytes(data[15:19], "big")
        assert hashlib.sha256(data[:-32]).digest() == data[-32:]
        saved[file.name[20:56]] = hashlib.sha256(data[19 + header:-32]).hexdigest()
    return done.returncode, saved, lines[:-1], lines[-1]


def filled_for_salvage(world):
    """A station, stopped: some records at the centre, some only here; and what it held."""
    centre = world.centre().start()
    station = world.station().start()
    for _, file in world.records(3, seed=5):
        assert station.submit(file).returncode == 0
    station.wait_drained()
    centre.stop()
    for _, file in world.records(9, size_bytes=700_000, seed=6):
        assert station.submit(file).returncode == 0
    held = envelopes(station)
    station.stop()
    return station, held


def test_a_daemon_without_privileges_ends_on_a_bad_page_and_looks_at_its_store_too():
    """As in the service: what it may see of itself is less than what root may."""
    if os.geteuid() != 0:
        raise harness.Skipped("needs root to become another")
    with World() as world:
        station, _ = fill(world)
        station.stop()
        run("chmod", "-R", "a+rwX", world.path)
        (world.path / "station" / "untrusted").write_text("no")
        run("chown", "-R", "65534:0", world.path)
        nobody = ("setpriv", "--reuid=65534", "--regid=0", "--clear-groups")
        station.start(before=nobody)
        until(lambda: station.json("events")[-1]["event"] == "outage-began", "the last that it commits")
        data = Pages(station).path
        good = data.read_bytes()
        os.truncate(data, 2 * PAGE)
        station.titip("list")
        assert ended(station) == 7 and "SIGBUS" in marker(station), marker(station)
        data.write_bytes(good)
        station.start(before=nobody)
        check_safe_mode(station, "SIGBUS")
        code, differences, end = verified(station)
        assert (code, end["outcome"], end["records"]) == (0, "clean", 4), (differences, end)


def test_salvage_gets_everything_out_of_a_store_that_is_whole_and_of_one_without_its_trees():
    with World() as world:
        station, held = filled_for_salvage(world)
        pages = Pages(station)
        good, roots = pages.path.read_bytes(), pages.roots()
        for name, damage in (("nothing", ()), ("both meta pages", (0, 1)), ("the root of chunks", (roots["chunks"],)),
                             ("the root of rows", (roots["rows"],)), ("the root of by_id", (roots["by_id"],)),
                             ("meta pages and all roots", (0, 1, *roots.values()))):
            pages.path.write_bytes(good)
            for page in damage:
                if page < len(good) // PAGE:
                    pages.zero(page)
            code, saved, losses, end = salvaged(station, world.path / f"saved-{name.replace(' ', '-')}")
            print(f"  without {name}: {len(saved)} of {len(held)}; {losses}")
            # Rows that lay in the page itself may be gone with it, and are then named.
            assert all(held[record] == digest for record, digest in saved.items())
            named = {each.get("id") for each in losses}
            assert set(held) - set(saved) <= named, (name, losses)
            if "rows" not in name and "roots" not in name:
                assert saved == held and code == 0 and not losses, (name, losses, end)
            else:
                assert len(saved) + end["bare"] == len(held), (name, losses, end)


def test_salvage_names_the_record_of_which_a_byte_is_wrong_and_gets_out_the_others():
    with World() as world:
        station, held = filled_for_salvage(world)
        station.start()
        record = next(iter(held))
        sealed = station.http("GET", f"/v1/records/{record}/envelope")[2]
        station.stop()
        pages = Pages(station)
        pages.change(pages.path.read_bytes().index(sealed[100_000:100_400]) + 200, lambda old: old ^ 0x10)
        code, saved, losses, end = salvaged(station, world.path / "saved")
        assert code == 1 and saved == {each: held[each] for each in held if each != record}
        assert [each["id"] for each in losses] == [record] and "1 of its" in losses[0]["why"], losses
        again = salvaged(station, world.path / "saved")
        assert again[1] == saved, "what is there already is no trouble"


def test_salvage_leaves_a_store_alone_that_a_daemon_has_open():
    with World() as world:
        station, _ = fill(world, count=1)
        done = run(BIN / "titip", "salvage", "--state", world.path / "station", world.path / "saved")
        assert done.returncode == 6 and b"stop titipd first" in done.stderr, done
        station.stop()
        (world.path / "station" / "untrusted").write_text("yes since_ms=1764000000000 why=a test\n")
        station.start()
        assert salvaged(station, world.path / "saved")[0] == 0, "in safe mode it is not open"


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
