"""The unit as it is shipped, in a booted container of this machine's own /usr: what systemd does with a
daemon whose disk takes its time, and with one that hangs by itself. Takes five minutes of waiting: only
with TITIP_BOOTED=1, as root."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import harness
from harness import BIN, SOURCE, STATION, Skipped, World, run, until

LONG_S = 90  # three times WatchdogSec, and more than TimeoutStartSec


class Container:
    """Everything but /usr is gone at its end; `state` is /var/lib/titip."""

    def __init__(self, world):
        if os.environ.get("TITIP_BOOTED") != "1":
            raise Skipped("TITIP_BOOTED=1 asks for it")
        if os.geteuid() != 0 or not shutil.which("systemd-nspawn"):
            raise Skipped("needs root, and systemd-nspawn: apt-get install systemd-container")
        state = world.path / "state"
        state.mkdir()
        command = ("mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec systemd-nspawn -q -D / "
                   "--machine=titip-test --volatile=yes --private-network --register=no --keep-unit --boot "
                   f"--console=pipe --bind-ro={BIN}:/opt/titip --bind={world.path}:/mnt --bind={state}:/var/lib/titip")
        self.log = open(world.path / "container.log", "wb")
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", command],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.leader = until(self._first_process, "the container's first process")
        try:
            until(lambda: self("systemctl", "is-system-running").stdout.strip() in (b"running", b"degraded"), "it boots", 300)
        except BaseException:
            self.__exit__()
            raise

    def _first_process(self):
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        for each in open(children).read().split():
            with contextlib.suppress(OSError):
                if open(f"/proc/{each}/comm").read() == "systemd\n":
                    return each
        return None

    def __call__(self, *command, **options):
        return run("nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w", *command, **options)

    def good(self, *command, **options):
        done = self(*command, **options)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode()

    def write(self, path, text):
        self.good("sh", "-c", f'mkdir -p "$(dirname {path})" && cat >{path}', input=text.encode())

    def show(self, what):
        return self.good("systemctl", "show", "-P", what, "titipd").strip()

    def journal(self):
        return self.good("journalctl", "-u", "titipd", "-o", "cat", "--no-pager")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(int(self.leader), signal.SIGRTMIN + 4)  # a clean poweroff
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()
        self.log.close()


@contextlib.contextmanager
def installed():
    """The unit, a station's configuration, and records, in a container."""
    with World() as world, Container(world) as inside:
        unit = (SOURCE / "systemd/titipd.service").read_text().replace("/usr/bin/", "/opt/titip/")
        inside.write("/etc/systemd/system/titipd.service", unit)
        inside.write("/etc/systemd/system/titipd.service.d/slow.conf",
                     "[Service]\nEnvironment=LD_PRELOAD=/opt/titip/libtitip_slow_sync.so "
                     "TITIP_SLOW_SYNC=/run/slow-disk\n")
        inside.write("/etc/sysusers.d/titip.conf", (SOURCE / "systemd/titip.sysusers").read_text())
        inside.good("systemd-sysusers")
        world.config("station", STATION, '[seal]\nrecipients = ["/etc/titip/recipient.pem", "/etc/titip/escrow.pem"]\n\n'
                     '[upstream]\nurl = "https://localhost:9"\n')
        text = (world.path / "station.toml").read_text()
        for old, new in ((f'"{world.path}/station"', '"/var/lib/titip"'), (f"{world.path}/station.sock", "/run/titip/titip.sock"),
                         (str(world.path), "/etc/titip")):
            text = text.replace(old, new)
        inside.good("install", "-d", "-o", "titip", "/etc/titip")
        inside.write("/etc/titip/titip.toml", text)
        for name in ("station.pem", "station.key", "root.pem", "recipient.pem", "escrow.pem"):
            inside.good("install", "-o", "titip", "-m", "400", f"/mnt/{name}", f"/etc/titip/{name}")
        inside.good("systemctl", "daemon-reload")
        if b"--create" in run(BIN / "titipd", "--help").stdout:
            inside.good("/opt/titip/titipd", "--create")
        done = inside("systemctl", "start", "titipd")
        assert done.returncode == 0, (done.stderr, inside.journal())
        yield world, inside


def submit(inside, file):
    return subprocess.Popen(["nsenter", "-t", inside.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "/opt/titip/titip",
                             "submit", f"/mnt/{file.parent.name}/{file.name}"], stderr=subprocess.PIPE)


def stays(inside, state, seconds):
    """`state` for so long: this is what the test is about, and nothing shortens it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert inside.show("ActiveState") == state, inside.journal()
        time.sleep(1)


def test_a_disk_that_takes_90_s_ends_neither_the_service_nor_its_start_nor_its_stop_and_a_hang_does():
    with installed() as (world, inside):
        records = world.records(5)
        inside.write("/run/slow-disk", "wait")
        waiting = [submit(inside, file) for _, file in records[:3]]
        stays(inside, "active", LONG_S)
        assert "ALARM: the disk has not been done" in inside.good("/opt/titip/titip", "status")
        assert all(each.poll() is None for each in waiting)
        inside.good("rm", "/run/slow-disk")
        for each in waiting:
            assert each.wait(30) == 0, each.communicate()

        inside.good("systemctl", "stop", "titipd")
        inside.write("/run/slow-disk", "wait")
        inside.good("systemctl", "start", "--no-block", "titipd")
        until(lambda: inside.show("ActiveState") == "activating", "it starts")
        stays(inside, "activating", LONG_S)
        inside.good("rm", "/run/slow-disk")
        until(lambda: inside.show("ActiveState") == "active", "it has started")

        inside.write("/run/slow-disk", "wait")
        one = submit(inside, records[3][1])
        until(lambda: '"sync_wait_ms":0,' not in inside.good("/opt/titip/titip", "--json", "status"), "it waits")
        inside.good("systemctl", "stop", "--no-block", "titipd")
        until(lambda: inside.show("ActiveState") == "deactivating", "it stops")
        stays(inside, "deactivating", 30)  # six times TimeoutStopSec
        inside.good("rm", "/run/slow-disk")
        until(lambda: inside.show("ActiveState") == "inactive", "it has stopped")
        assert inside.show("Result") == "success", inside.journal()
        one.wait(30)
        inside.good("systemctl", "start", "titipd")
        assert inside.show("NRestarts") == "0"
        assert "Watchdog" not in inside.journal(), inside.journal()

        inside.write("/run/slow-disk", "spin")
        two = submit(inside, records[4][1])
        until(lambda: inside.show("NRestarts") != "0", "it is ended and started again", 120)
        inside.good("rm", "/run/slow-disk")
        until(lambda: inside.show("ActiveState") == "active", "it runs again")
        assert "hang who=writer" in inside.journal() and two.wait(30) == 3
        assert inside("/opt/titip/titip", "status").returncode == 0


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
