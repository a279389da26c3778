"""A store that is older than what it once said, or not the one that it was: with a real centre, nothing
is lost on either side, nothing is sent twice, and somebody is told."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys

from harness import BIN, CuttingProxy, Node, World, run, tests, until

FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def clock_off_by(offset):
    """The environment of a node whose wall clock is off; its monotonic clock never is, as a machine's."""
    assert FAKETIME, "faketime is not installed: apt-get install faketime"
    linked = run("ldd", BIN / "titipd").stdout.decode().split()
    first = [each for each in linked if each.startswith("/") and "libasan" in each]  # must come first
    return {"LD_PRELOAD": ":".join([*first, str(FAKETIME)]), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def accepted_at(centre):
    """The ids that the centre took, in order: its ledger, not its table."""
    return [each["id"] for each in centre.json("events") if each["event"] == "accepted"]


def check_once(centre, records):
    taken = accepted_at(centre)
    assert len(taken) == len(set(taken)), "the centre took a record twice"
    assert set(taken) == {record for record, _ in records}, "the centre has all, and no other"


def findings(node, kind):
    return [each for each in node.status()["findings"] if each["kind"] == kind]


def events(node, event):
    return [each for each in node.json("events") if each["event"] == event]


def submit(node, records):
    for record, file in records:
        done = node.submit(file)
        assert done.returncode == 0, (record, done.stderr)


def backed_up(node, folder):
    """As docs/operating.md says: a backup while the daemon runs."""
    folder.mkdir(exist_ok=True)
    done = node.json("backup", folder)[0]
    copy = pathlib.Path(done["file"])
    told = json.loads(copy.with_suffix(".json").read_text())
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == told["sha256"] == done["sha256"]
    assert told["node"] == node.status()["node"] and told["epoch"] == done["epoch"]
    return copy


def restore(node, copy):
    """As docs/operating.md says: what is left is moved aside, the copy put in its place."""
    state = node.world.path / node.name
    state.rename(state.with_name(f"{node.name}.old"))
    state.mkdir()
    shutil.copyfile(copy, state / "data.mdb")
    (state / "data.mdb").chmod(0o600)


def clone_of(world, node):
    """Another machine with the same disk: its own state and socket, one name and certificate."""
    for each in ("pem", "key"):
        shutil.copy(world.path / f"{node.name}.{each}", world.path / f"clone.{each}")
    text = node.config.read_text()
    for each in (world.path / node.name, world.path / f"{node.name}.sock"):
        text = text.replace(f'"{each}"', f'"{each}"'.replace(f"/{node.name}", "/clone"))
    (world.path / "clone.toml").write_text(text)
    shutil.copytree(world.path / node.name, world.path / "clone")
    clone = Node(world, "clone")
    world.nodes.append(clone)
    return clone


def test_a_station_restored_from_its_backup_goes_on_in_a_new_epoch():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(9)
        submit(station, records[:2])
        station.wait_drained()
        station.titip("pause")
        submit(station, records[2:5])  # these wait in the backup
        epoch = station.status()["epoch"]
        copy = backed_up(station, world.path / "backup")
        station.titip("resume")
        submit(station, records[5:7])  # these are after it
        station.wait_drained()
        station.kill()

        with CuttingProxy(world.port) as counted:
            world.station(port=counted.port)
            restore(station, copy)
            station.start()
            assert station.status()["epoch"] != epoch
            assert len(events(station, "epoch-began")) == 1
            assert "epoch-began" in station.log()
            station.titip("resume")  # the pause was restored too
            station.wait_drained()
            # Three records of 300 kB waited here and were complete there: their receipts came.
            assert counted.up_bytes < 300_000, f"{counted.up_bytes} bytes went up"
            for record, _ in records[:5]:
                assert station.state_of(record) == "delivered"
            submit(station, records[7:])
            station.wait_drained()
        check_once(centre, records)

        found = until(lambda: findings(station, "later-head"), "the finding")
        assert len(found) == 1 and found[0]["epoch"] == epoch, found
        assert (found[0]["first"], found[0]["last"]) == (5, 7), found
        said = station.titip("status").stdout.decode()
        assert "put back from an older copy" in said and "numbers 6 to 7" in said, said
        until(lambda: "finding kind=later-head" in station.log(), "the log says it too")
        first = station.show(records[7][0])
        assert first["sequence"] == 1 and first["epoch"] == station.status()["epoch"]
        # Once, not at every start; and a record that is submitted again is no second record there.
        begun = station.status()["epoch"]
        station.stop()
        world.station()  # no proxy any more
        station.start()
        assert station.status()["epoch"] == begun
        submit(station, records[5:6])
        until(lambda: station.state_of(records[5][0]) == "quarantined", "it conflicts")
        assert station.show(records[5][0])["reason"] == "conflict"
        check_once(centre, records)


def test_a_backup_put_over_a_newer_store_is_known_for_one_and_a_plain_copy_only_if_it_is_said():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(3)
        submit(station, records[:1])
        station.wait_drained()
        epoch = station.status()["epoch"]
        copy = backed_up(station, world.path / "backup")
        station.stop()
        shutil.copyfile(world.path / "station/data.mdb", world.path / "plain.mdb")
        station.start()
        submit(station, records[1:2])
        station.wait_drained()
        station.stop()

        shutil.copyfile(world.path / "plain.mdb", world.path / "station/data.mdb")
        station.start()
        assert station.titip("status").returncode == 7
        assert "Back up and restore" in station.titip("status").stdout.decode()
        station.stop()
        (world.path / "station/restored").touch()
        station.start()
        second = station.status()["epoch"]
        assert second != epoch
        station.stop()

        shutil.copyfile(copy, world.path / "station/data.mdb")  # titipd.lock knows of more commits
        station.start()
        assert station.status()["epoch"] not in (epoch, second)
        until(lambda: findings(station, "later-head"), "the finding")
        submit(station, records[2:])
        station.wait_drained()
        check_once(centre, records)


def test_a_whole_old_state_directory_put_back_is_found_out_at_the_centre():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(6)
        submit(station, records[:1])
        station.wait_drained()
        station.stop()
        shutil.copytree(world.path / "station", world.path / "old")
        station.start()
        epoch = station.status()["epoch"]
        submit(station, records[1:4])
        station.wait_drained()
        station.stop()
        shutil.rmtree(world.path / "station")
        shutil.move(world.path / "old", world.path / "station")

        # Off line: it gives numbers a second time before anybody can tell it. Both records are kept.
        centre.stop()
        station.start()
        submit(station, records[4:5])
        assert station.show(records[4][0])["sequence"] == 2
        assert station.status()["epoch"] == epoch
        centre.start()
        station.wait_drained()
        until(lambda: station.status()["epoch"] != epoch, "a new epoch")
        assert len(events(station, "epoch-began")) == 1
        assert findings(station, "later-head")
        submit(station, records[5:])
        station.wait_drained()
        check_once(centre, records)
        assert [(each["first"], each["epoch"]) for each in findings(centre, "fork")] == [(2, epoch)]


def test_a_cloned_disk_with_both_running_loses_and_doubles_nothing():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(8)
        submit(station, records[:1])
        station.wait_drained()
        station.titip("pause")
        submit(station, records[1:2])  # waits in both
        station.stop()
        clone = clone_of(world, station)
        station.start()
        clone.start()
        epoch = station.status()["epoch"]
        submit(station, records[2:4])
        submit(clone, records[4:6])
        assert station.show(records[2][0])["sequence"] == clone.show(records[4][0])["sequence"] == 3
        station.titip("resume")
        station.wait_drained()
        clone.stop()
        clone.start()  # it reconciles, and is the second
        clone.titip("resume")
        clone.wait_drained()
        until(lambda: clone.status()["epoch"] != epoch, "the second goes on in a new epoch")
        assert findings(clone, "fork"), clone.status()["findings"]
        assert "this machine was copied" in clone.titip("status").stdout.decode()
        assert clone.state_of(records[1][0]) == station.state_of(records[1][0]) == "delivered"
        assert station.status()["epoch"] == epoch
        submit(station, records[6:7])
        submit(clone, records[7:8])
        station.wait_drained()
        clone.wait_drained()
        check_once(centre, records)
        forks = findings(centre, "fork")
        assert sorted(each["first"] for each in forks) == [3, 4], forks

        # The first hears of the other when it asks again.
        station.stop()
        station.start()
        found = until(lambda: findings(station, "unknown-epoch"), "the first hears of the other")
        assert found[0]["epoch"] == clone.status()["epoch"] and found[0]["records"] == 1, found
        assert station.status()["epoch"] == epoch


def test_two_clones_that_send_at_once_lose_and_double_nothing_and_part():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(11)
        submit(station, records[:1])
        station.wait_drained()
        station.titip("pause")
        station.stop()
        clone = clone_of(world, station)
        both = [station.start(), clone.start()]
        epoch = station.status()["epoch"]
        for i in range(4):  # the same four numbers
            submit(station, records[1 + 2 * i:2 + 2 * i])
            submit(clone, records[2 + 2 * i:3 + 2 * i])
        with concurrent.futures.ThreadPoolExecutor() as together:
            list(together.map(lambda node: node.titip("resume"), both))
        for node in both:
            node.wait_drained()
        check_once(centre, records[:9])
        assert sorted(each["first"] for each in findings(centre, "fork")) == [2, 3, 4, 5]
        # Which numbers are whose at the centre is chance: one of the two is another there, or both.
        for node in both:
            node.stop()
            node.start()
        until(lambda: any(node.status()["epoch"] != epoch for node in both), "they part")
        for node, record in zip(both, records[9:]):
            submit(node, [record])
            node.wait_drained()
        check_once(centre, records)
        changed = [node for node in both if node.status()["epoch"] != epoch]
        assert all(findings(node, "fork") for node in changed)


def test_a_machine_that_was_set_up_anew_says_what_is_known_of_the_store_it_lost():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(5)
        submit(station, records[:3])
        station.wait_drained()
        epoch = station.status()["epoch"]
        station.kill()
        shutil.rmtree(world.path / "station")
        station.start()
        assert station.status()["epoch"] != epoch
        submit(station, records[3:])
        station.wait_drained()
        found = until(lambda: findings(station, "unknown-epoch"), "the finding")
        assert len(found) == 1 and found[0]["epoch"] == epoch and found[0]["records"] == 3, found
        said = station.titip("status").stdout.decode()
        assert "the centre has 3 records of this office (numbers 1 to 3)" in said, said
        assert f"read to it: 1 to 3, {epoch[:8]}" in said, said
        until(lambda: "finding kind=unknown-epoch" in station.log(), "the log says it too")
        assert not events(station, "epoch-began")
        check_once(centre, records)


def test_a_clock_set_back_a_year_loses_nothing_and_begins_no_epoch():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(6)
        submit(station, records[:2])
        station.wait_drained()
        station.titip("pause")
        submit(station, records[2:4])
        epoch = station.status()["epoch"]
        station.stop()
        station.start(environment=clock_off_by("-365d"))
        behind_ms = centre.status()["time_ms"] - station.status()["time_ms"]
        assert behind_ms > 364 * 86_400_000, "its clock is a year behind"
        submit(station, records[4:5])
        station.titip("resume")
        station.wait_drained()
        assert station.show(records[4][0])["sequence"] == 5
        for record, _ in records[:5]:
            assert station.state_of(record) == "delivered"
        assert centre.titip("open", records[0][0], "--key", world.path / "recipient.key", "--certificate",
                            world.path / "recipient.pem").returncode == 0
        until(lambda: station.state_of(records[0][0]) == "opened", "verdicts come too")
        station.stop()
        station.start()  # and forth again
        submit(station, records[5:])
        station.wait_drained()
        assert station.status()["epoch"] == epoch and not station.status()["findings"]
        check_once(centre, records)
        assert [each["sequence"] for each in sorted(centre.list(), key=lambda each: each["sequence"])] == [
            1, 2, 3, 4, 5, 6]


def test_a_centre_restored_from_its_backup_gives_no_verdict_number_twice():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(4)
        submit(station, records)
        station.wait_drained()
        ids = [record for record, _ in records]
        assert centre.titip("verdict", ids[0], "print-ready").returncode == 0
        copy = backed_up(centre, world.path / "backup")
        assert centre.titip("verdict", ids[1], "print-ready").returncode == 0
        until(lambda: station.show(ids[1])["verdicts"], "the station has number 2")
        centre.stop()
        restore(centre, copy)
        centre.start()
        assert centre.titip("verdict", ids[2], "print-ready").returncode == 0  # number 2, another one
        until(lambda: station.show(ids[2])["verdicts"], "and it has this one too")
        assert centre.titip("verdict", ids[3], "print-ready").returncode == 0
        until(lambda: station.show(ids[3])["verdicts"], "and those after it")
        for record in ids:
            assert station.show(record)["verdicts"] == ["print-ready"]
            story = [each for each in station.show(record)["story"] if each["event"] == "verdict"]
            assert len(story) == 1, "what was known is not told again"


def test_a_centre_whose_whole_directory_was_put_back_tells_its_verdicts_from_the_first():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(4)
        submit(station, records)
        station.wait_drained()
        ids = [record for record, _ in records]
        assert centre.titip("verdict", ids[0], "print-ready").returncode == 0
        until(lambda: station.show(ids[0])["verdicts"], "number 1")
        centre.stop()
        shutil.copytree(world.path / "centre", world.path / "old")
        centre.start()
        for record in ids[1:3]:
            assert centre.titip("verdict", record, "print-ready").returncode == 0
        until(lambda: station.show(ids[2])["verdicts"], "the station has number 3")
        epoch = centre.status()["epoch"]
        centre.stop()
        shutil.rmtree(world.path / "centre")
        shutil.move(world.path / "old", world.path / "centre")
        centre.start()
        until(lambda: "has=3 here=1" in centre.log(), "it is seen")
        assert centre.titip("verdict", ids[3], "print-ready").returncode == 0  # number 2
        until(lambda: station.show(ids[3])["verdicts"], "and the station does not miss it")
        assert centre.status()["epoch"] == epoch


def test_a_centre_restored_without_a_record_that_it_had_received_gets_it_again():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(3)
        submit(station, records[:2])
        station.wait_drained()
        copy = backed_up(centre, world.path / "backup")
        submit(station, records[2:])
        station.wait_drained()
        # What was delivered in the last ten minutes may be on its way: the clock is set behind that.
        station.stop()
        centre.stop()
        restore(centre, copy)
        ahead = clock_off_by("+20m")
        centre.start(environment=ahead)
        assert len(centre.list()) == 2
        station.start(environment=ahead)
        found = until(lambda: findings(station, "not-held"), "the finding")
        assert (found[0]["first"], found[0]["last"]) == (3, 3), found
        station.wait_drained()
        until(lambda: len(centre.list()) == 3, "the centre has it again")
        assert station.state_of(records[2][0]) == "delivered"
        check_once(centre, records)
        # A relay or centre may hold it now: the finding stays, and nothing is sent any more.
        again = len(events(station, "retry"))
        station.stop()
        station.start(environment=ahead)
        station.wait_drained()
        assert len(events(station, "retry")) == again == 1


def test_a_backup_that_cannot_be_made_says_what_to_do():
    with World() as world:
        station = world.station().start()
        submit(station, world.records(1))
        absent = station.titip("backup", world.path / "absent")
        assert absent.returncode == 6 and "make it first" in absent.stderr.decode(), absent
        # A service has a /tmp of its own, and an empty /home: the folder that it sees there is another one.
        seen, hidden = world.path / "seen", world.path / "hidden"
        seen.mkdir()
        hidden.mkdir()
        body = {"directory": str(seen), "device": os.stat(seen).st_dev, "inode": os.stat(seen).st_ino}
        for other in ({"inode": body["inode"] + 1}, {"device": body["device"] + 1}, {"directory": f"{seen}/absent"}):
            status, _, refused = station.http("POST", "/v1/backup", json.dumps({**body, **other}).encode())
            assert status == 409 and b"does not see the folder that you see" in refused and b"PrivateTmp" in refused, refused
            assert not list(seen.iterdir())
        if os.geteuid() == 0:
            done = run("unshare", "-m", "--propagation", "private", "sh", "-c",
                       f'mount --bind {hidden} {seen} && exec "$@"', "sh", BIN / "titip", "--socket", station.socket,
                       "backup", seen)
            assert done.returncode == 6 and f"{seen}: the daemon does not see".encode() in done.stderr, done
        assert station.http("POST", "/v1/backup", json.dumps(body).encode())[0] == 200
        assert station.titip("backup").returncode == 2
        status, _, _ = station.http("POST", "/v1/backup", b"{}")
        assert status == 400
        if os.geteuid() == 0:
            folder = world.path / "small"
            folder.mkdir()
            if run("mount", "-t", "tmpfs", "none", folder).returncode == 0:
                done = station.titip("backup", folder)
                assert done.returncode == 6 and f"{folder} is in memory" in done.stderr.decode(), done
                assert not list(folder.iterdir())
                run("umount", folder)
            image = world.path / "small.image"
            image.write_bytes(bytes(1 << 20))
            run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image)
            mounted = run("mount", "-o", "loop", image, folder)
            if mounted.returncode == 0:
                try:
                    full = station.titip("backup", folder)
                    assert full.returncode == 6 and "are free there" in full.stderr.decode(), full
                    assert [each.name for each in folder.iterdir()] == ["lost+found"]
                    run("mount", "-o", "remount,ro", folder)
                    confined = station.titip("backup", folder)
                    assert f"ReadWritePaths={folder}" in confined.stderr.decode(), confined
                finally:
                    run("umount", folder)
        assert len(events(station, "backup")) == 1
        until(lambda: station.status()["records"]["waiting"]["records"] == 1, "the station is as before")


if __name__ == "__main__":
    tests(sys.modules[__name__])
