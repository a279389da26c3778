"""A store is born only where that was asked for: a start without its disk makes nothing, says so, and goes on when
the disk is back; what the mark beside the configuration says of the store; who owns what is made."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import harness
from harness import BIN, STATION, World, run, until

NOBODY = 65534
MOUNT_QUESTION = "is its disk mounted?"


def words(node):
    return node.titip("status").stdout.decode()


def alarms(node):
    return [line for line in words(node).splitlines() if line.startswith("ALARM")]


def checked(node, before=()):
    done = run(*before, BIN / "titipd", "--config", node.config, "--check")
    return done.returncode, done.stderr.decode()


def adopted(node):
    return run(BIN / "titipd", "--config", node.config, "--adopt")


def says_no_store(node, *what):
    """All of it: what a clerk, a program and an operator see of a node whose store is not here."""
    status = node.titip("status")
    text = status.stdout.decode()
    assert status.returncode == 7 and text.startswith("NO STORE HERE: " + MOUNT_QUESTION), text
    for each in (str(node.state), *what):
        assert each in text, (each, text)
    assert node.status()["store_absent"] is True
    for command in (("list",), ("verify",), ("trust",), ("events",), ("backup", node.world.path),
                    ("wait", "--until", "empty")):
        done = node.titip(*command)
        assert done.returncode == 7 and MOUNT_QUESTION in (done.stdout + done.stderr).decode(), (command, done)


def needs_root():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root, to be somebody else")


def as_nobody(world, *folders):
    for path in (*world.path.iterdir(), *folders):
        os.chown(path, NOBODY, NOBODY)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@contextlib.contextmanager
def in_memory():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="titip-memory.", dir="/dev/shm"))
    if run("stat", "-f", "-c", "%T", folder).stdout.strip() != b"tmpfs":
        shutil.rmtree(folder)
        raise harness.Skipped("/dev/shm is not in memory here")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_without_its_disk_a_station_makes_no_store_and_goes_on_when_the_disk_is_back():
    with World() as world:
        station = world.station().start()
        records = world.records(4)
        for _, file in records[:2]:
            assert station.submit(file).returncode == 0
        station.stop()
        disk = world.path / "disk"
        state = station.state
        state.rename(disk)
        state.mkdir(mode=0o700)  # what is left of a mount point
        station.start(create=False)
        says_no_store(station, str(station.mark), STATION, "mount its disk", "titip restore", "goes on by itself")
        done = station.submit(records[2][1])
        assert done.returncode == 7 and MOUNT_QUESTION in done.stderr.decode(), done
        code, said = checked(station)
        assert code == 1 and "ALARM" in said and str(station.mark) in said, said
        for command in (("compact",), ("salvage", world.path / "salvaged")):
            done = run(BIN / "titip", *command, "--state", state)
            assert done.returncode == 6 and b"is the disk mounted" in done.stderr, done
        done = station.create()
        assert done.returncode == 1 and b"mount its disk" in done.stderr, done
        assert not any(state.iterdir()), list(state.iterdir())
        process = station.process.pid
        state.rmdir()
        disk.rename(state)
        until(lambda: station.titip("status").returncode == 0, "it goes on by itself")
        assert station.process.poll() is None and station.process.pid == process
        assert {each["id"] for each in station.list()} == {record for record, _ in records[:2]}
        assert station.submit(records[3][1]).returncode == 0
        assert not alarms(station), words(station)
        log = station.log()
        assert log.index("no-store") < log.index("store-is-there"), log
        assert station.stop() == 0


def test_a_store_that_is_still_being_copied_to_where_none_is_is_waited_for():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1)
        assert station.submit(file).returncode == 0
        station.stop()
        away = world.path / "away"
        station.state.rename(away)
        station.start(create=False)
        says_no_store(station)
        whole = (away / "data.mdb").read_bytes()
        piece = 4096
        begun = len(whole) // 2 // piece * piece
        assert begun > 2 * piece, "both of its first pages are there"
        station.state.mkdir(mode=0o700)
        with open(station.state / "data.mdb", "wb", buffering=0) as copy:
            copy.write(whole[:begun])
            for _ in range(15):  # as cp does, and slowly: several of the daemon's looks
                time.sleep(0.2)
                copy.write(whole[begun:begun + piece])
                begun = min(begun + piece, len(whole))
                assert "store-is-there" not in station.log(), station.log()
            copy.write(whole[begun:])
        until(lambda: station.titip("status").returncode == 0, "it goes on with the whole")
        assert [each["id"] for each in station.list()] == [record]
        assert not alarms(station), words(station)
        assert station.stop() == 0


def test_a_disk_that_is_not_mounted_is_no_first_start():
    needs_root()
    with World() as world:
        image, state = world.path / "image", world.path / "mounted"
        state.mkdir()
        run("truncate", "-s", "300M", image)
        run("mkfs.ext4", "-q", image)
        if run("mount", "-o", "loop", image, state).returncode != 0:
            raise harness.Skipped("needs a mount")
        try:
            station = world.station(state=state).start()
            records = world.records(2)
            assert station.submit(records[0][1]).returncode == 0
            station.stop()
            assert run("umount", state).returncode == 0
            station.start(create=False)
            says_no_store(station, str(station.mark))
            assert station.submit(records[1][1]).returncode == 7
            assert not any(state.iterdir())
            assert run("mount", "-o", "loop", image, state).returncode == 0
            until(lambda: station.titip("status").returncode == 0, "it goes on by itself")
            assert station.submit(records[1][1]).returncode == 0
            assert len(station.list()) == 2
        finally:
            for node in world.nodes:
                node.stop()
            run("umount", state)


def test_a_node_that_was_never_set_up_says_how_and_goes_on_once_it_is():
    with World() as world:
        centre = world.centre().start(create=False)
        says_no_store(centre, "titipd --create", str(centre.mark))
        assert not centre.state.exists() and not centre.mark.exists()
        code, said = checked(centre)
        assert code == 0 and "warning" in said and "titipd --create" in said, said
        assert not centre.state.exists()
        done = centre.create()
        assert done.returncode == 0 and b"an empty store was made" in done.stdout and not done.stderr, done
        assert centre.state.stat().st_mode & 0o7777 == 0o700
        assert centre.mark.read_text().startswith("titip-store 1\nnode centre\nstore ")
        until(lambda: centre.titip("status").returncode == 0, "it goes on by itself")
        assert centre.status()["store"]["id"] in centre.mark.read_text()
        before = centre.mark.read_bytes(), (centre.state / "data.mdb").stat().st_ino
        for is_running in (True, False):
            done = centre.create()
            assert done.returncode == 0 and b"there already; nothing was changed" in done.stdout, done
            if is_running:
                centre.stop()
        assert (centre.mark.read_bytes(), (centre.state / "data.mdb").stat().st_ino) == before
        code, said = checked(centre)
        assert code == 0 and said.count("warning") == 1 and "[relays]: there is no such table" in said, said


def test_a_store_without_a_mark_gets_one_and_one_that_another_mark_names_is_opened_with_an_alarm():
    with World() as world:
        station = world.station().start()
        records = iter(world.records(4))

        def goes_on():
            assert station.submit(next(records)[1]).returncode == 0

        goes_on()
        right = station.mark.read_bytes()
        station.stop()
        # As of a daemon before there were marks.
        station.mark.unlink()
        code, said = checked(station)
        assert code == 0 and "no mark says yet" in said and not station.mark.exists(), said
        station.start()
        assert station.mark.read_bytes() == right and not alarms(station), words(station)
        station.stop()
        station.mark.unlink()
        done = adopted(station)
        assert done.returncode == 0 and station.mark.read_bytes() == right and done.stdout, done
        done = adopted(station)
        assert done.returncode == 0 and not done.stdout and not done.stderr, done

        other = right[:-5] + (b"0000\n" if right[-5:] != b"0000\n" else b"1111\n")
        for text, what in ((other, "is not the store that"), (b"titip-store 1\nnode centre\n" + right[-39:], "centre"),
                           (b"garbage\n", "cannot be used"), (b"", "cannot be used")):
            station.mark.write_bytes(text)
            code, said = checked(station)
            assert code == 1 and "ALARM" in said and str(station.mark) in said, (text, said)
            assert adopted(station).returncode == 0 and station.mark.read_bytes() == text
            done = station.create()
            assert done.returncode == 1 and b"ALARM" in done.stderr and station.mark.read_bytes() == text, done
            station.start()
            alarm, = alarms(station)
            assert what in alarm and str(station.mark) in alarm, alarm
            assert station.titip("status").returncode == 0
            assert "store-mark trouble=" in station.log()
            station.stop()
        # What the alarm says helps.
        station.mark.unlink()
        station.start()
        goes_on()
        assert station.mark.read_bytes() == right and not alarms(station)


def test_a_mark_that_the_daemon_may_not_write_is_an_alarm_until_root_writes_it():
    needs_root()
    with World() as world:
        station = world.station().start()
        station.stop()
        station.mark.unlink()
        run_folder = world.path / "run"
        run_folder.mkdir()
        station.config.write_text(station.config.read_text().replace(str(station.socket), f"{run_folder}/titip.sock"))
        station.socket = run_folder / "titip.sock"
        nobody = as_nobody(world, *station.state.iterdir())
        os.chown(station.config, 0, 0)  # and the folder: as /etc/titip
        station.start(before=nobody)
        alarm, = alarms(station)
        assert "no mark says" in alarm and "Permission denied" in alarm and "titipd --adopt" in alarm, alarm
        assert "trouble=absent" in station.log()
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0, "an update never stops the recording"
        done = adopted(station)
        assert done.returncode == 1 and b"in use" in done.stderr, done  # only before a start
        station.stop()
        assert adopted(station).returncode == 0
        assert station.mark.stat().st_uid == 0 and station.mark.stat().st_mode & 0o7777 == 0o644
        station.start(before=nobody)
        assert not alarms(station), words(station)


def test_root_gives_the_store_that_it_makes_to_the_user_of_the_daemon():
    needs_root()
    with World() as world:
        station = world.station()
        key = world.path / "station.key"
        os.chown(key, NOBODY, NOBODY)
        key.chmod(0o400)

        def belongs(store_is_made=True):
            for path in (station.state, *station.state.iterdir()):
                found = path.stat()
                assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY) and found.st_mode & 0o077 == 0, (path, found)
            assert (station.state / "data.mdb").exists() == store_is_made
            assert station.mark.stat().st_uid == 0

        # No directory: whose the key is.
        done = station.create()
        assert done.returncode == 0, done
        belongs()
        # A disk just made, which is root's.
        for owner in (0, NOBODY):
            shutil.rmtree(station.state)
            station.mark.unlink()
            station.state.mkdir(mode=0o755)
            (station.state / "lost+found").mkdir(mode=0o700)
            os.chown(station.state, owner, owner)
            done = station.create()
            assert done.returncode == 0, done
            (station.state / "lost+found").rmdir()
            belongs()
        # A directory of somebody else's, by mistake: not a bit of it is changed.
        shutil.rmtree(station.state)
        station.mark.unlink()
        station.state.mkdir(mode=0o755)
        (station.state / "letters").mkdir()
        done = station.create()
        assert done.returncode == 1 and b"letters" in done.stderr and b"[node] state" in done.stderr, done
        assert station.state.stat().st_uid == 0 and station.state.stat().st_mode & 0o7777 == 0o755
        assert [each.name for each in station.state.iterdir()] == ["letters"] and not station.mark.exists()


def test_a_path_that_was_mistyped_is_no_new_store_but_a_question():
    with World() as world:
        station = world.station().start()
        station.stop()
        good = station.config.read_text()
        wrong = world.path / "file"
        wrong.touch()
        for path in (world.path / "statoin", world.path / "not/there", "/dev/shm/no-such-store"):
            station.config.write_text(good.replace(f'state = "{world.path}/station"', f'state = "{path}"'))
            station.start(create=False)
            says_no_store(station, str(path), "correct [node] state")
            station.stop()
            assert not pathlib.Path(path).exists()
        station.config.write_text(good.replace(f'state = "{world.path}/station"', f'state = "{wrong}"'))
        done = run(BIN / "titipd", "--config", station.config, timeout=20)
        assert done.returncode == 1 and b"is not a directory" in done.stderr, done
        # A name that leads nowhere, as to a disk under another name.
        link = world.path / "link"
        link.symlink_to(world.path / "elsewhere")
        station.config.write_text(good.replace(f'state = "{world.path}/station"', f'state = "{link}"'))
        station.start(create=False)
        says_no_store(station, str(link))
        (world.path / "station").rename(world.path / "elsewhere")
        until(lambda: station.titip("status").returncode == 0, "it leads to the store")
        assert not alarms(station), words(station)


def test_a_store_in_memory_is_made_only_where_that_is_meant_and_one_that_is_there_is_opened_with_an_alarm():
    with World() as world, in_memory() as folder:
        station = world.station(state=folder / "state")
        meant = station.config.read_text()
        assert "volatile = true" in meant
        station.config.write_text(meant.replace("volatile = true\n", ""))
        done = station.create()
        assert done.returncode == 1 and b"in memory (tmpfs)" in done.stderr and b"volatile" in done.stderr, done
        assert not any(folder.iterdir()) and not station.mark.exists()
        code, said = checked(station)
        assert code == 1 and "in memory (tmpfs)" in said, said
        station.config.write_text(meant)
        assert station.create().returncode == 0
        assert checked(station) == (0, "")
        station.start()
        assert not alarms(station), words(station)
        station.stop()
        # As an office has it that is updated.
        station.config.write_text(meant.replace("volatile = true\n", ""))
        assert checked(station)[0] == 1
        station.start()
        alarm, = alarms(station)
        assert "in memory (tmpfs)" in alarm and "power cut" in alarm, alarm
        assert "store-not-on-a-disk" in station.log()
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0, "an update never stops the recording"


def test_a_store_in_the_layer_of_a_container_is_not_made():
    needs_root()
    with World() as world:
        folder = world.path / "layers"
        for each in ("lower", "upper", "work", "merged"):
            (folder / each).mkdir(parents=True)
        merged = folder / "merged"
        if run("mount", "-t", "overlay", "none", merged, "-o",
               f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work").returncode != 0:
            raise harness.Skipped("needs an overlay, on what is none itself")
        try:
            station = world.station(state=merged / "state")
            station.config.write_text(station.config.read_text().replace("volatile = true\n", ""))
            done = station.create()
            assert done.returncode == 1 and b"in a container's layer (overlay)" in done.stderr, done
            assert not any(merged.iterdir())
        finally:
            run("umount", merged)


def test_what_a_birth_that_was_killed_leaves_is_begun_again_and_never_harms_a_store():
    with World() as world:
        station = world.station()
        for _ in range(12):
            process = subprocess.Popen([BIN / "titipd", "--config", station.config, "--create"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda: process.poll() is not None or station.state.exists(), "it has begun")
            process.kill()  # at any moment from there
            process.wait()
            done = station.create()
            is_born = b"a store is there" in done.stderr  # the kill came after the birth, but for the mark perhaps
            assert is_born or (done.returncode == 0 and station.mark.exists()), done
            station.start(create=False)
            assert station.mark.exists()
            assert station.titip("status").returncode == 0 and not alarms(station), words(station)
            station.stop()
            shutil.rmtree(station.state)
            station.mark.unlink()


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
