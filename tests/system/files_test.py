"""Where a command's file goes, what of a secret stays in memory, and folders in which others put something."""

import os
import pathlib
import resource
import signal
import stat
import subprocess
import sys
import threading

import harness
from harness import World, run, until

NOBODY = 65534
LOST = 8


def opening(world, record, *more):
    return [str(each) for each in (harness.BIN / "titip", "--socket", world.path / "centre.sock", "open", record,
                                   "--certificate", world.path / "recipient.pem", *more)]


def one_at_the_centre(world):
    centre, station = world.centre().start(), world.station().start()
    record, file = world.records(1)[0]
    assert station.submit(file).returncode == 0
    until(lambda: centre.list(), "it is at the centre")
    return centre, record, file.read_bytes()


def test_what_out_names_is_written_as_what_it_is():
    with World() as world:
        centre, record, enrollment = one_at_the_centre(world)
        out = world.path / "out"
        out.mkdir()
        key = ("--key", world.path / "recipient.key")
        os.mknod(out / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null, which this must not try
        os.mkfifo(out / "pipe")
        (out / "file").write_bytes(b"old")
        (out / "precious").write_bytes(b"precious")
        (out / "to-device").symlink_to("null")
        (out / "to-file").symlink_to("precious")
        (out / "to-nothing").symlink_to("nothing")
        (out / "stdout").symlink_to("/proc/self/fd/1")  # what /dev/stdout is
        (out / "folder").mkdir()
        before = {each.name: each.lstat().st_mode for each in out.iterdir()}
        read = []
        reader = threading.Thread(target=lambda: read.append((out / "pipe").read_bytes()))
        reader.start()
        for name, code in (("null", 0), ("pipe", 0), ("file", 0), ("new", 0), ("to-device", 0), ("to-file", LOST),
                           ("to-nothing", LOST), ("folder", LOST)):
            done = run(*opening(world, record, *key, "--out", out / name))
            assert done.returncode == code, (name, done)
            assert code == 0 or str(out / name) in done.stderr.decode().splitlines()[-1], (name, done)
        reader.join()
        with open(out / "file-of-stdout", "wb") as told:
            done = subprocess.run(opening(world, record, *key, "--out", out / "stdout"), stdout=told)
        assert done.returncode == 0
        assert (out / "file-of-stdout").read_bytes().startswith(enrollment)
        assert read == [enrollment]
        assert (out / "file").read_bytes() == (out / "new").read_bytes() == enrollment
        assert (out / "precious").read_bytes() == b"precious"
        after = {each.name: each.lstat().st_mode for each in out.iterdir()}
        assert {name: stat.S_IFMT(after[name]) for name in before} == {n: stat.S_IFMT(m) for n, m in before.items()}
        assert set(after) - set(before) == {"new", "file-of-stdout"}
        # And of the other command that has an --out.
        station = world.nodes[1]
        until(lambda: station.titip("receipt", record, "--out", out / "null").returncode == 0, "a receipt came")
        for name in ("to-file", "folder"):
            assert station.titip("receipt", record, "--out", out / name).returncode == LOST
        assert (out / "precious").read_bytes() == b"precious" and stat.S_ISCHR((out / "null").lstat().st_mode)


def test_who_opens_an_envelope_leaves_no_core_and_cannot_be_looked_into():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root to become another")
    with World() as world:
        fifo = world.path / "key"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o644)
        os.chmod(world.path / "recipient.pem", 0o644)
        place = world.path / "place"  # where a core could be written
        place.mkdir()
        os.chmod(place, 0o777)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        record = "0198f2c1-3b3f-7032-a5c7-4403b3abe3ae"
        with subprocess.Popen(opening(world, record, "--key", fifo), user=NOBODY, group=NOBODY, extra_groups=[],
                              cwd=place, stderr=subprocess.PIPE) as asking:
            with open(fifo, "wb"):  # it is at the key: it opened the other end
                limits = pathlib.Path(f"/proc/{asking.pid}/limits").read_text()
                core, = (line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
                owner = os.stat(f"/proc/{asking.pid}/mem").st_uid  # root, of a process that is not dumpable
                asking.send_signal(signal.SIGSEGV)
                status = os.waitstatus_to_exitcode(raw := os.waitpid(asking.pid, 0)[1])
            asking.returncode = status
        assert status in (-signal.SIGSEGV, -signal.SIGABRT), status  # under a sanitizer it aborts
        assert core[4:6] == ["0", "0"] and owner == 0 and not os.WCOREDUMP(raw), (core, owner, raw)
        assert not list(place.iterdir())


def memory_has(pid, wanted):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            begin, end = (int(each, 16) for each in span.split("-"))
            if "w" not in rights:
                continue
            try:
                memory.seek(begin)
                if wanted in memory.read(end - begin):
                    return True
            except OSError:
                continue
    return False


def test_a_key_and_a_record_are_in_memory_no_longer_than_they_are_needed():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root to look into another's memory")
    if b"san.so" in run("ldd", harness.BIN / "titip").stdout:
        raise harness.Skipped("a sanitizer keeps for a while what was freed")
    with World() as world:
        centre, record, enrollment = one_at_the_centre(world)
        key = world.path / "recipient.key"
        lines = key.read_bytes().splitlines()
        number = bytes.fromhex("".join(run("openssl", "ec", "-in", key, "-noout", "-text").stdout.decode()
                                       .split("priv:")[1].split("pub:")[0].replace(":", "").split()))[-32:]
        piece = enrollment[len(enrollment) // 2:][:64]
        pipe = world.path / "pipe"
        os.mkfifo(pipe)
        with subprocess.Popen(opening(world, record, "--key", key, "--out", pipe)) as asking:
            with open(pipe, "rb") as reading:  # it is past the key: it opened the other end to write
                assert memory_has(asking.pid, piece), "the test sees what is there"
                secrets = {"file": lines[1], "number": number, "number, as OpenSSL has it": number[::-1]}
                left = [name for name, secret in secrets.items() if memory_has(asking.pid, secret)]
                assert not left, left
                centre.process.send_signal(signal.SIGSTOP)  # the verdict has to wait
                try:
                    assert reading.read() == enrollment
                    until(lambda: not memory_has(asking.pid, piece), "the record is written over", 10)
                    assert asking.poll() is None, "while it still waits for the daemon"
                finally:
                    centre.process.send_signal(signal.SIGCONT)
            assert asking.wait(60) == 0
        assert "opened" in centre.show(record)["verdicts"]


def test_salvage_follows_no_link_on_the_disk_that_it_writes_to():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1)
        assert station.submit(file).returncode == 0
        station.stop()
        data = station.state / "data.mdb"
        pages, ident = bytearray(data.read_bytes()), bytes.fromhex(record.replace("-", ""))
        for at in range(0, len(pages), 4096):
            if ident in pages[at:at + 4096]:  # every version of its row: what is left is an envelope without a name
                pages[at:at + 4096] = bytes(4096)
        data.write_bytes(pages)
        stick, elsewhere = world.path / "stick", world.path / "elsewhere"
        elsewhere.mkdir()
        stick.mkdir()
        salvage = (harness.BIN / "titip", "salvage", stick, "--state", station.state)
        (stick / "without-manifest").symlink_to(elsewhere)
        done = run(*salvage)
        assert done.returncode == 6 and not list(elsewhere.iterdir()), (done, list(elsewhere.iterdir()))
        assert "a link" in done.stderr.decode(), done
        (stick / "without-manifest").unlink()
        assert run(*salvage).returncode == 1
        saved, = (stick / "without-manifest").iterdir()
        # As a device, that would be written to; and as a file that is not whole.
        good = saved.read_bytes()
        saved.unlink()
        os.mknod(saved, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        assert run(*salvage).returncode == 6 and stat.S_ISCHR(saved.lstat().st_mode)
        saved.unlink()
        saved.write_bytes(good[:100])
        assert run(*salvage).returncode == 1 and saved.read_bytes() == good


def test_a_library_that_is_older_than_the_one_we_ask_for_is_said():
    with World() as world:
        centre = world.centre()
        preload = harness.BIN / "libtitip_other_openssl.so"

        def said(version, *command):
            environment = {**os.environ, "LD_PRELOAD": str(preload), "TITIP_OPENSSL": version}
            done = run(*command, env=environment)
            return [line for line in done.stderr.decode().splitlines() if "CVE-2026-63072" in line], done.returncode

        if run(harness.BIN / "titipd", "--version", env={**os.environ, "LD_PRELOAD": str(preload)}).returncode != 0:
            raise harness.Skipped("nothing can be preloaded here")
        centre.create()
        check = (harness.BIN / "titipd", "--config", centre.config, "--check")
        opens = opening(world, "0198f2c1-3b3f-7032-a5c7-4403b3abe3ae", "--key", world.path / "none")
        for command, prefix in ((check, "titipd: warning: OpenSSL 3.0.19"), (opens, "titip: warning: OpenSSL 3.0.19")):
            old, code = said("0x30000130", *command)
            assert len(old) == 1 and old[0].startswith(prefix) and "apt-get install libssl3" in old[0], old
            assert said("0x30000160", *command) == ([], code)  # it is a warning, and no reason to refuse


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
