"""What stands still beside the work, and must not stop it: a log that nobody reads, a manager that does
not listen, a disk that takes its time, an upload that never ends."""

import contextlib
import os
import queue
import re
import socket
import subprocess
import sys
import threading

import harness
from epoch_test import clock_off_by
from harness import BIN, STATION, CuttingProxy, Skipped, World, run, until

SLOW = {"LD_PRELOAD": str(BIN / "libtitip_slow_sync.so")}


@contextlib.contextmanager
def full_pipe():
    """(what is read, what is written): not a byte fits any more."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(into, b"." * 4096)
    os.set_blocking(into, True)
    try:
        yield out, into
    finally:
        os.close(into)
        os.close(out)


def start_with(node, **options):
    """With standard descriptors of the test's own."""
    assert node.create().returncode == 0
    node.process = subprocess.Popen([str(BIN / "titipd"), "--config", str(node.config)], **options)
    until(lambda: node.process.poll() is not None or node.is_answering(), "it answers")
    assert node.process.poll() is None
    return node


def test_a_log_that_nobody_reads_stops_neither_accepting_nor_sending_nor_the_end():
    with World() as world, full_pipe() as (out, into):
        centre = world.centre()
        station = world.station()
        for node in (centre, station):
            start_with(node, stderr=into, stdout=into)
        for record, file in world.records(3):
            assert station.submit(file).returncode == 0
        station.wait_drained()
        assert all(centre.state_of(record) == "delivered" for record, _ in world.records(3))
        assert station.stop() == 0
        until(lambda: os.read(out, 65536).strip(b"."), "lines come once somebody reads")
        assert centre.stop() == 0


class Manager:
    """systemd, as far as sd_notify(3) shows it: every word in order. `listens`: or its queue fills."""

    def __init__(self, world, interval_ms, listens=True):
        self.at = world.path / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.at))
        self.environment = {"NOTIFY_SOCKET": str(self.at), "WATCHDOG_USEC": str(interval_ms * 1000)}
        self.words = queue.Queue()
        if listens:
            threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while word := self.socket.recv(4096):
            self.words.put(word.decode())

    def hear(self, wanted, limit_s=30):
        """Words until one that begins so; that one."""
        while True:
            word = self.words.get(timeout=limit_s)
            if word.startswith(wanted):
                return word

    def forget(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self.words.get_nowait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.sendto(b"", str(self.at))


def slow(world):
    """The file that makes syncs slow while it is there, and the environment of who sees it."""
    if not (BIN / "libtitip_slow_sync.so").exists():
        raise Skipped("libtitip_slow_sync.so is not built")
    if run(BIN / "titipd", "--version", env={**os.environ, **SLOW}).returncode != 0:
        raise Skipped("a sanitizer's runtime wants to be loaded first")
    sign = world.path / "slow"
    return sign, {**SLOW, "TITIP_SLOW_SYNC": str(sign)}


def submit_beside(node, file):
    return subprocess.Popen([str(BIN / "titip"), "--socket", str(node.socket), "submit", str(file)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def at_the_disk(node, ms):
    return until(lambda: node.status()["disk"]["sync_wait_ms"] >= ms, "the writer waits for the disk")


def test_a_manager_that_does_not_listen_stops_nothing():
    with World() as world, Manager(world, 60, listens=False) as manager:
        station = world.station().start(environment=manager.environment)
        # Its queue holds ten words, or some hundred; two are said a second of this watchdog's interval.
        until(lambda: not can_be_told(manager), "nothing more fits")
        records = world.records(2)
        for _, file in records:
            assert station.submit(file).returncode == 0
        assert station.status()["records"]["waiting"]["records"] == 2
        assert station.stop() == 0


def can_be_told(manager):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        try:
            one.sendto(b"X=1", str(manager.at))
        except BlockingIOError:
            return False
        return True


def test_while_the_disk_takes_its_time_the_watchdog_is_fed_and_who_submits_waits():
    with World() as world, Manager(world, 900) as manager:
        sign, environment = slow(world)
        station = world.station().start(environment={**environment, **manager.environment})
        records = world.records(3)
        sign.write_text("wait")
        waiting = [submit_beside(station, file) for _, file in records]
        at_the_disk(station, 5000)  # far longer than the watchdog's interval
        manager.forget()
        for _ in range(5):
            manager.hear("WATCHDOG=1")
        told = station.titip("status").stdout.decode()
        assert "ALARM: the disk has not been done with a sync for" in told, told
        until(lambda: "disk-slow" in station.log(), "the log says it")
        assert all(each.poll() is None for each in waiting)
        sign.unlink()
        for each in waiting:
            assert each.wait(30) == 0, each.communicate()
        assert station.status()["disk"]["sync_wait_ms"] < 5000
        assert "ALARM: the disk took" in station.titip("status").stdout.decode()
        assert station.log().count("disk-slow") == 1
        metrics = station.http("GET", "/v1/metrics")[2].decode()
        slowest, = re.findall(r"^titip_disk_slowest_sync_seconds (\S+)", metrics, re.M)
        assert float(slowest) >= 5, slowest
        assert station.stop() == 0


def test_a_start_and_a_stop_get_the_time_that_the_disk_takes():
    with World() as world, Manager(world, 900) as manager:
        sign, environment = slow(world)
        station = world.station()
        sign.write_text("wait")
        station.start(wait=False, environment={**environment, **manager.environment})
        for _ in range(10):
            manager.hear("EXTEND_TIMEOUT_USEC=")
        assert station.process.poll() is None and not station.is_answering()
        sign.unlink()
        manager.hear("READY=1")
        (record, file), = world.records(1)
        sign.write_text("wait")
        one = submit_beside(station, file)
        at_the_disk(station, 100)
        station.process.terminate()
        manager.hear("STOPPING=1")
        manager.hear("EXTEND_TIMEOUT_USEC=")
        # Longer than a stop may take by itself.
        until(lambda: "stopping" in station.log(), "it stops")
        for _ in range(80):
            manager.hear("EXTEND_TIMEOUT_USEC=")
        assert station.process.poll() is None
        sign.unlink()
        assert station.process.wait(30) == 0
        station.process = None
        # Written, and the answer went out, or else it is said that this is not known.
        assert one.wait(30) in (0, 3)
        said = one.stderr.read().decode()
        assert one.returncode == 0 or "whether the record was taken is not known" in said, said
        assert "is the service running" not in said, said
        station.start()
        assert station.state_of(record) == "waiting"


def check_hang(how):
    with World() as world, Manager(world, 900) as manager:
        sign, environment = slow(world)
        station = world.station().start(environment={**environment, **manager.environment})
        (_, file), = world.records(1)
        sign.write_text(how)
        one = submit_beside(station, file)
        until(lambda: "hang who=writer" in station.log(), "it is seen")
        manager.forget()
        with contextlib.suppress(queue.Empty):
            while True:  # twice what systemd would wait
                assert manager.words.get(timeout=1.8) != "WATCHDOG=1", "a hang of our own is fed"
        station.process.send_signal(6)  # as systemd does
        station.process.wait()
        station.process = None
        assert one.wait(30) == 3
        said = one.stderr.read().decode()
        assert "did not answer" in said and "Submit the same file again" in said, said
        sign.unlink()
        station.start()
        assert not station.status().get("safe_mode")
        assert station.submit(file).returncode == 0


def test_a_writer_that_spins_where_it_says_that_it_is_at_the_disk_is_not_fed():
    check_hang("spin")


def test_a_writer_that_waits_for_itself_where_it_says_that_it_is_at_the_disk_is_not_fed():
    check_hang("lock")


def test_an_upload_that_never_ends_is_said_and_can_be_given_up():
    with World() as world:
        centre = world.centre().start()
        with CuttingProxy(world.port) as proxy:
            station = world.station(port=proxy.port, connections=1).start()
            until(lambda: station.link()["up"], "the link is up")
            (record, file), = world.records(1, size_bytes=1_000_000)
            proxy.cut_after_up = 400_000
            station.submit(file)
            until(lambda: proxy.cuts == 1, "it is cut")
            station.kill()
        until(lambda: centre.list("--state", "arriving"), "the half is kept")
        centre.stop()
        centre.start(environment=clock_off_by("+8d"))
        stalled = until(lambda: centre.status()["stalled_uploads"]["oldest"], "it is found")
        assert [(each["id"], each["station"], each["sequence"]) for each in stalled] == [(record, STATION, 1)]
        told = centre.titip("status").stdout.decode()
        assert f"ALARM: number 1 of station {STATION} began to arrive" in told, told
        assert f"titip discard {record} --station {STATION} --reason" in told, told
        until(lambda: "upload-stalled" in centre.log(), "the log says it")

        assert centre.titip("discard", record, "--reason", "x").returncode == 2
        assert centre.titip("discard", record, "--station", "office-9", "--reason", "x").returncode == 5
        assert centre.titip("discard", record, "--station", STATION, "--reason", "a\nb").returncode == 2
        live = centre.status()["disk"]["live_bytes"]
        done = centre.titip("discard", record, "--station", STATION, "--reason", "its disk is lost")
        assert done.returncode == 0 and b"begins anew" in done.stdout, done
        assert centre.status()["disk"]["live_bytes"] < live
        assert centre.status()["stalled_uploads"]["count"] == 0
        last = centre.json("events")[-1]
        assert last["event"] == "discarded" and "its disk is lost" in last["detail"], last
        assert f"by uid {os.getuid()}" in last["detail"], last

        world.station(connections=1).start()
        station.wait_drained()
        assert centre.state_of(record) == "delivered"
        assert centre.titip("discard", record, "--station", STATION, "--reason", "x").returncode == 6


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
