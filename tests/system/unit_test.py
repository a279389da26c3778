"""The unit in a machine that boots: its user, its mounts, root's part of it. By option, since it needs a whole root directory:

    mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps,libboost-json1.81.0,libboost-url1.81.0,\\
liblmdb0,libssl3,libspdlog1.10,libtomlplusplus3,libsystemd0,libprotobuf-lite32,libprometheus-cpp-core1.0 bookworm DIR
    TITIP_ROOT=DIR [TITIP_OLD=build/of/a/version/before/marks] tests/system/unit_test.py

Needs root and systemd-nspawn; DIR is not changed.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import harness
from harness import BIN, SOURCE, World, run, until

ROOT = os.environ.get("TITIP_ROOT")
OLD = os.environ.get("TITIP_OLD")
STATE = "/var/lib/titip"
MARK = "/etc/titip/titip.toml.store"


class Machine:
    """A booted root directory whose changes are thrown away. /disks is a real disk of ours: what the machine's own
    root is on is a layer."""

    def __init__(self, world):
        self.world = world
        self.disks = world.path / "disks"
        (self.disks / "state").mkdir(parents=True)
        name = f"titip-{world.port}"
        log = (world.path / "machine.log").open("wb")
        self._nspawn = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             'mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec "$@"', "sh",
             "systemd-nspawn", "-q", "-D", ROOT, f"--machine={name}", "--volatile=overlay", "--private-network",
             "--register=no", "--keep-unit", f"--bind={self.disks}:/disks", "--boot", "--console=pipe"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.first = until(self._find_first, "the machine begins")
        until(lambda: self.run("systemctl", "is-system-running", "--wait").stdout.strip() in (b"running", b"degraded"),
              "the machine has booted")

    def _find_first(self):
        assert self._nspawn.poll() is None, (self.world.path / "machine.log").read_text()
        # Before it is the machine's, it is a shell's or of nspawn itself.
        return run("pgrep", "-x", "systemd", "-P", self._nspawn.pid).stdout.decode().strip()

    def run(self, *command, **options):
        return run("nsenter", "-t", self.first, "-m", "-u", "-i", "-n", "-p", "-r", "-w", *command, **options)

    def must(self, *command, **options):
        done = self.run(*command, **options)
        assert done.returncode == 0, (command, done.stdout.decode(), done.stderr.decode(), self.log())
        return done.stdout.decode()

    def put(self, text, path, owner="root:titip", mode="640"):
        self.must("sh", "-c", f"cat >{path} && chown {owner} {path} && chmod {mode} {path}", input=text)

    def log(self):
        return self.run("journalctl", "-u", "titipd", "-o", "cat", "--no-pager").stdout.decode()

    def install(self, build):
        """As operating.md has it."""
        folder = self.world.path / f"installed-{pathlib.Path(build).name}-{len(list(self.world.path.iterdir()))}"
        done = run("cmake", "--install", build, "--prefix", "/usr", env={**os.environ, "DESTDIR": str(folder)})
        assert done.returncode == 0, done
        packed = run("tar", "-C", folder, "-c", ".").stdout
        self.must("tar", "-x", "-C", "/", "--no-same-owner", input=packed)
        self.must("systemd-sysusers")
        self.must("systemd-tmpfiles", "--create", "titip.conf")
        self.must("systemctl", "daemon-reload")
        shutil.rmtree(folder)

    def configure(self, more=""):
        world = self.world
        world.station()
        text = world.nodes[0].config.read_text().replace("volatile = true\n", "")
        text = re.sub(r'state = ".*"', f'state = "{STATE}"', text)
        text = re.sub(r'socket = ".*"', 'socket = "/run/titip/titip.sock"', text).replace(str(world.path), "/etc/titip")
        self.put((text + more).encode(), "/etc/titip/titip.toml")
        for name in ("station.pem", "root.pem", "recipient.pem", "escrow.pem"):
            self.put((world.path / name).read_bytes(), f"/etc/titip/{name}")
        self.put((world.path / "station.key").read_bytes(), "/etc/titip/station.key", "titip:titip", "400")

    def mount(self, disk="state"):
        """As a disk that is plugged in: seen by all, also by what runs already."""
        self.must("mount", "--bind", f"/disks/{disk}", STATE)

    def titip(self, *arguments):
        return self.run("titip", *arguments)

    def words(self):
        return self.titip("status").stdout.decode()

    def works(self):
        return self.titip("status").returncode == 0

    def submit(self, record):
        self.put(record.read_bytes(), "/tmp/record", "root:root")
        return self.titip("submit", "/tmp/record").returncode

    def restarts(self):
        return int(self.must("systemctl", "show", "titipd", "-p", "NRestarts", "--value"))

    def power_off(self):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(self.first), signal.SIGRTMIN + 4)
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


@contextlib.contextmanager
def machine():
    if not ROOT:
        raise harness.Skipped("needs a root directory: TITIP_ROOT")
    with World() as world:
        booted = Machine(world)
        try:
            yield booted
        finally:
            booted.power_off()


def is_daemons(booted):
    owners = booted.must("stat", "-c", "%U:%G %a", STATE, f"{STATE}/data.mdb", f"{STATE}/titipd.lock").splitlines()
    return owners == ["titip:titip 700", "titip:titip 600", "titip:titip 600"]


def test_a_new_machine_gets_its_store_from_root_and_a_missing_disk_is_waited_for():
    with machine() as booted:
        booted.install(BIN)
        booted.configure()
        booted.mount()
        # Started before there is a store: it says how to get one, and is not started again and again.
        booted.must("systemctl", "start", "titipd")
        assert "NO STORE HERE" in booted.words() and "titipd --create" in booted.words(), booted.words()
        done = booted.run("runuser", "-u", "titip", "--", "titipd", "--check")
        assert done.returncode == 0 and b"titipd --create" in done.stderr, done
        booted.must("titipd", "--create")
        until(booted.works, "it goes on by itself")
        assert is_daemons(booted)
        assert booted.must("stat", "-c", "%U:%G %a", MARK) == "root:root 644\n"
        assert "ALARM" not in booted.words(), booted.words()
        records = booted.world.records(3)
        assert booted.submit(records[0][1]) == 0
        # The machine boots without its disk.
        booted.must("systemctl", "stop", "titipd")
        booted.must("umount", STATE)
        before = booted.restarts()
        booted.must("systemctl", "start", "titipd")
        assert "NO STORE HERE" in booted.words() and MARK in booted.words(), booted.words()
        assert booted.submit(records[1][1]) == 7
        done = booted.run("runuser", "-u", "titip", "--", "titipd", "--check")
        assert done.returncode == 1 and b"ALARM" in done.stderr, done
        assert booted.run("titipd", "--create").returncode == 1
        assert not booted.must("ls", "-A", STATE)
        # An empty disk is not it, nor is one beside it.
        (booted.disks / "empty").mkdir()
        booted.mount("empty")
        until(lambda: booted.log().count("no-store") >= 3, "it has looked at the disk that came")
        until(lambda: "NO STORE HERE" in booted.words(), "it says so")
        booted.must("umount", STATE)
        booted.mount()
        until(booted.works, "it goes on by itself, with a disk that came while it ran")
        assert booted.submit(records[1][1]) == 0
        assert len(booted.titip("list", "--json").stdout.splitlines()) == 2
        assert "ALARM" not in booted.words(), booted.words()
        assert booted.restarts() - before <= 4, booted.log()


def test_an_office_that_is_updated_has_its_store_adopted_at_the_first_start():
    if not OLD:
        raise harness.Skipped("needs a build of a version before marks: TITIP_OLD")
    with machine() as booted:
        booted.install(OLD)
        booted.configure()
        booted.mount()
        booted.must("systemctl", "start", "titipd")
        records = booted.world.records(2)
        assert booted.submit(records[0][1]) == 0
        booted.install(BIN)
        booted.must("systemctl", "restart", "titipd")
        assert booted.works() and "ALARM" not in booted.words(), booted.words()
        assert booted.must("stat", "-c", "%U:%G %a", MARK) == "root:root 644\n"
        said = booted.must("cat", MARK)
        assert json.loads(booted.titip("status", "--json").stdout)["store"]["id"] in said, said
        assert booted.submit(records[1][1]) == 0
        assert {each["id"] for each in map(json.loads, booted.titip("list", "--json").stdout.splitlines())} == \
            {record for record, _ in records}
        booted.must("systemctl", "restart", "titipd")
        assert booted.must("cat", MARK) == said and "ALARM" not in booted.words()


def test_a_store_that_was_restored_by_root_is_the_daemons_and_has_its_mark():
    with machine() as booted:
        booted.install(BIN)
        booted.configure('\n[mirror]\npath = "/media/backup"\n')
        booted.mount()
        booted.must("install", "-d", "-o", "titip", "-g", "titip", "-m", "700", "/media/backup")
        booted.must("titip", "mark-disk")
        booted.must("titipd", "--create")
        before = booted.must("cat", MARK)
        booted.must("systemctl", "start", "titipd")
        records = booted.world.records(2)
        for _, file in records:
            assert booted.submit(file) == 0
        until(lambda: len(booted.must("find", "/media/backup", "-name", "*.titip").splitlines()) == 2, "both are on it")
        booted.must("systemctl", "stop", "titipd")
        booted.must("umount", STATE)
        (booted.disks / "new").mkdir()  # root's, as a file system just made
        booted.mount("new")
        booted.must("titip", "restore", "--from", "/media/backup")
        assert is_daemons(booted)
        assert booted.must("cat", MARK) != before, "it is another store"
        booted.must("systemctl", "start", "titipd")
        assert booted.works() and "ALARM" not in booted.words(), booted.words()
        assert len(booted.titip("list", "--json").stdout.splitlines()) == 2
        # The old disk after all: told, and nothing stops.
        booted.must("systemctl", "stop", "titipd")
        booted.must("umount", STATE)
        booted.mount()
        booted.must("systemctl", "start", "titipd")
        assert booted.works() and "ALARM: this is not the store that" in booted.words(), booted.words()


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
