"""The layers at which the upstream can be away that need a network, a clock or a certificate of their own: a person
is told the right one, the ledger has it, and what was taken meanwhile is delivered when the trouble is over.
outage_test.py has those that a server on this machine can play."""

import base64
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import time

import harness
from harness import BIN, SOURCE, Server, Skipped, World, run, start_late, until

sys.path.insert(0, str(SOURCE / "tests" / "link"))
from link import CENTRE, Link, is_possible  # noqa: E402

PORT = 8443
NAME = "titip.example"
NAMES = f"URI:titip:centre,DNS:localhost,DNS:{NAME},IP:127.0.0.1,IP:{CENTRE}"
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
SENTENCES = {
    "no-route": "this machine has no route to the upstream",
    "dns": "the name of the upstream cannot be resolved",
    "tcp": "the upstream does not answer, or refuses the connection",
    "tls": "something answers that cannot prove to be the upstream",
    "clock": "this machine's clock, or the upstream's, is wrong: check the date",
    "expired": "a certificate has expired: it must be renewed",
    "portal": "a web page answers in place of the upstream: log in to the network first",
    "auth": "this machine and the upstream do not believe each other: call the centre",
}


@contextlib.contextmanager
def office(profile="lan"):
    """A world whose centre is at the other end of a link, in namespaces of their own."""
    if not is_possible():
        raise Skipped("needs root, network namespaces and /dev/net/tun")
    with World() as world, Link(profile) as link:
        world.issue("centre", NAMES)
        world.config("centre", "centre", f'[listen]\naddress = "{CENTRE}:{PORT}"')
        world._node("centre").start(before=inside(link.centre))
        yield world, link
        for node in world.nodes:  # before their namespaces
            node.stop()


def inside(namespace):
    return ["ip", "netns", "exec", namespace]


def order(link, namespace, *command):
    done = link.popen(namespace, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.communicate()[0]
    assert done.returncode == 0, (command, said)


def check_away(world, station, verdict, *details):
    """It says why, to a program and to a person, and goes on accepting. Gives the record taken meanwhile."""
    link = until(lambda: (seen := station.link())["verdict"] == verdict and seen,
                 f"verdict {verdict}, not {station.link()}")
    assert not link["up"], link
    assert all(each in link["detail"] for each in details), link
    (record, file), = world.records(1)
    assert station.submit(file).returncode == 0
    told = station.titip("status")
    words = " ".join(told.stdout.decode().split())
    assert told.returncode == 0, told
    assert "Not connected since" in words and SENTENCES[verdict] in words, words
    assert "safe on this machine" in words and "sending goes on by itself" in words, words
    assert station.titip("wait", "--until", "online", "--timeout", "1 s").returncode == 1
    began = [each for each in station.json("events") if each["event"] == "outage-began"]
    assert [each["detail"] for each in began] == [verdict], began
    return record


def check_back(station, record):
    """Without help: nobody asks it to look."""
    assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "5 min").returncode == 0
    assert station.titip("wait", "--until", "online", "--timeout", "1 min").returncode == 0
    words = station.titip("status").stdout.decode()
    assert "Connected" in words, words
    assert station.state_of(record) == "delivered"
    until(lambda: "outage-ended" in [each["event"] for each in station.json("events")], "the ledger has its end")


def station_at(world, link, host=CENTRE):
    station = world.station(port=PORT, host=host)
    return station.start(before=inside(link.office))


def test_no_route():
    with office() as (world, link):
        order(link, link.office, "ip", "link", "set", "wire", "down")
        station = station_at(world, link)
        record = check_away(world, station, "no-route")
        order(link, link.office, "ip", "link", "set", "wire", "up")
        order(link, link.office, "ip", "route", "replace", CENTRE, "dev", "wire")
        check_back(station, record)


def test_a_cable_that_is_back_is_looked_at_before_the_next_try_is_due():
    with office() as (world, link):
        order(link, link.office, "ip", "link", "set", "wire", "down")
        station = station_at(world, link)
        seen = until(lambda: away_for(seen := station.link(), 7) and seen, "it waits for some seconds", 120)
        order(link, link.office, "ip", "link", "set", "wire", "up")
        order(link, link.office, "ip", "route", "replace", CENTRE, "dev", "wire")
        back = until(lambda: (now := station.link())["up"] and now, "it is back")
        assert back["since_ms"] < seen["next_check_ms"], (back, seen)


def away_for(seen, seconds):
    """Whether its next look is so far away."""
    return not seen["up"] and seen["next_check_ms"] / 1000 - time.time() > seconds


def test_black_hole():
    with office() as (world, link):
        link.order("both cut 1")
        station = station_at(world, link)
        record = check_away(world, station, "tcp", "timed out")
        link.order("both cut 0")
        check_back(station, record)


def test_black_hole_under_a_link_in_use():
    with office() as (world, link):
        station = station_at(world, link)
        (record, file), = world.records(1, seed=2)
        assert station.submit(file).returncode == 0
        check_delivered(station, record)  # so the reconcile is over, which would wait longer for an answer
        link.order("both cut 1")
        station.http("POST", "/v1/link/probe")
        record = check_away(world, station, "tcp")
        link.order("both cut 0")
        check_back(station, record)


def test_reset_by_a_firewall():
    if not shutil.which("nft"):
        raise Skipped("needs nftables")
    with office() as (world, link):
        order(link, link.centre, "nft", f"add table ip wall; add chain ip wall in {{ type filter hook input priority 0; }}; "
              f"add rule ip wall in tcp dport {PORT} reject with tcp reset")
        station = station_at(world, link)
        record = check_away(world, station, "tcp", "refused")
        order(link, link.centre, "nft", "delete table ip wall")
        check_back(station, record)


NAME_SERVER = """
import ipaddress, pathlib, socket, sys
address, is_silent, there = ipaddress.ip_address(sys.argv[1]), sys.argv[2] == "silent", pathlib.Path(sys.argv[3])
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    asked, who = here.recvfrom(2000)
    with open(f"{there}.asked", "a") as file:
        print(asked.hex(), file=file)
    end = asked.index(0, 12) + 5
    question, is_a = asked[12:end], asked[end - 4:end - 2] == bytes([0, 1])
    if there.exists():
        answer = bytes([192, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]) + address.packed if is_a else b""
        counts = bytes([0, 1, 0, 1 if is_a else 0, 0, 0, 0, 0])
        here.sendto(asked[:2] + bytes([0x81, 0x80]) + counts + question + answer, who)
    elif not is_silent:
        here.sendto(asked[:2] + bytes([0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]) + question, who)  # NXDOMAIN
"""


@contextlib.contextmanager
def name_server(world, link, kind):
    """One of the office that is silent, or knows no name, until the file it gives is there."""
    there = world.path / "knows-the-centre"
    folder = pathlib.Path("/etc/netns") / link.office  # `ip netns exec` puts it in place of /etc/resolv.conf
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    server = link.popen(link.office, sys.executable, "-c", NAME_SERVER, CENTRE, kind, there, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        yield there
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def test_name_that_does_not_resolve():
    with office() as (world, link), name_server(world, link, "unknowing") as there:
        station = station_at(world, link, host=NAME)
        record = check_away(world, station, "dns", "not found")
        there.touch()
        check_back(station, record)


def test_name_server_that_never_answers():
    with office() as (world, link), name_server(world, link, "silent") as there:
        station = station_at(world, link, host=NAME)
        record = check_away(world, station, "dns")
        asked = there.with_suffix(".asked").read_text().split()
        assert asked and len(asked) == len(set(asked)), "it costs bytes to ask again, so only we do, when it is time"
        there.touch()
        check_back(station, record)


@contextlib.contextmanager
def replaced(world, server, verdict, *details):
    """What a server says in place of the centre, until the centre is there."""
    station = world.station().start()
    record = check_away(world, station, verdict, *details)
    server.close()
    yield station
    start_late(world.centre())
    check_back(station, record)


def answering(world, answer, name="centre"):
    context = world.server_context(name)

    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(65536):
                secure.sendall(answer)

    return Server(handle, world.port)


def test_reset_of_what_was_accepted():
    with World() as world:
        def reset(connection):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.recv(1)

        with replaced(world, Server(reset, world.port), "tls", "reset"):
            pass


def test_portal_that_sends_elsewhere():
    away = b"HTTP/1.1 302 Found\r\nLocation: https://portal.example/login\r\nContent-Length: 0\r\n\r\n"
    with World() as world, replaced(world, answering(world, away), "portal", "302"):
        pass


def test_portal_with_a_certificate_of_its_own():
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin"
    with World() as world:
        world.issue("portal", "DNS:portal.example", authority="stranger")
        with replaced(world, answering(world, page, "portal"), "tls", "certificate"):
            pass


def test_403():
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with World() as world, replaced(world, answering(world, refused), "auth", "403"):
        pass


class DatedWorld(World):
    """Certificates of `days`, issued when the clock was off by `clock`; both may be changed for a further one."""

    def __init__(self, clock, days):
        if not FAKETIME:
            raise Skipped("needs faketime")
        self.clock, self.days = clock, days
        super().__init__()

    def _openssl(self, *arguments):
        lasting = [str(self.days) if before == "-days" else each for before, each in zip(("", *arguments), arguments)]
        done = run("openssl", *lasting, cwd=self.path, env={**os.environ, **clock_off_by(self.clock)})
        assert done.returncode == 0, done.stderr.decode()

    def issue_centre(self, clock, days):
        self.clock, self.days = clock, days
        self.issue("centre", NAMES)


def clock_off_by(offset):
    """The environment of a process whose wall clock is off; its monotonic clock never is, as a machine's."""
    # With asan's runtime before it, as asan asks for, libfaketime waits for itself for ever.
    asan = ":".join([*filter(None, [os.environ.get("ASAN_OPTIONS")]), "verify_asan_link_order=0"])
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": asan}


def check_certificate(clock, days, verdict, detail):
    """The centre has a certificate with the wrong dates, until it gets another one."""
    with DatedWorld("-400d", 2000) as world:
        world.issue_centre(clock, days)
        centre = world.centre().start()
        station = world.station().start()
        record = check_away(world, station, verdict, detail)
        world.issue_centre("-1d", 100)
        centre.stop()
        start_late(centre)
        check_back(station, record)


def test_certificate_that_has_expired():
    check_certificate("-60d", 30, "expired", "expired")


def test_certificate_that_is_not_yet_valid():
    check_certificate("+60d", 30, "clock", "not yet valid")


def manifest_of(world, record):
    """As the centre gives it."""
    with harness.connected(world) as secure:
        status, fields, _ = harness.exchange(secure, "HEAD", f"/v1/uploads/{harness.STATION}/{record}",
                                             headers=[("Tus-Resumable", "1.0.0")])
    assert status == 200
    file = world.path / "manifest.cms"
    file.write_bytes(base64.b64decode(fields["upload-metadata"].removeprefix("manifest ")))
    return file


def test_what_was_taken_under_a_certificate_that_had_ended_arrives_after_its_renewal():
    # Its records say that they were taken in November 2025, before that certificate began.
    with DatedWorld("-400d", 2000) as world:
        world.clock, world.days = "-40d", 30
        world.issue("station", f"URI:titip:station:{harness.STATION}")
        station = world.station().start()
        (record, file), = world.records(1, size_bytes=60_000)
        assert station.submit(file).returncode == 0
        station.stop()
        world.clock, world.days = "-1d", 30
        world.issue("station", f"URI:titip:station:{harness.STATION}")
        world.centre().start()
        station.start()
        assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "2 min").returncode == 0
        # By itself, without anybody who proves to be that office now.
        manifest = manifest_of(world, record)
        done = run(BIN / "titip", "verify", manifest, "--authorities", world.path / "root.pem")
        said = done.stdout.decode()
        assert done.returncode == 0 and f"good; signed by {harness.STATION}" in said, (said, done.stderr)
        assert "the signer's certificate ended at" in said and "does not count for a manifest" in said, said
        done = run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", manifest, "-CAfile",
                   world.path / "root.pem", "-purpose", "any", "-no_check_time", "-out", world.path / "statement")
        assert done.returncode == 0, done.stderr


def check_sends(world, offset):
    world.centre().start()
    station = world.station().start(environment=clock_off_by(offset))
    (record, file), = world.records(1)
    assert station.submit(file).returncode == 0
    check_delivered(station, record)


def check_delivered(station, record):
    assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "2 min").returncode == 0
    assert "outage-began" not in [each["event"] for each in station.json("events")]


def test_a_clock_a_year_behind_does_not_stop_sending():
    with DatedWorld("-200d", 2000) as world:  # by that clock no certificate is valid yet
        check_sends(world, "-365d")


def test_a_clock_a_year_ahead_does_not_stop_sending():
    with DatedWorld("-200d", 2000) as world:
        check_sends(world, "+365d")


def test_a_clock_a_year_ahead_of_what_is_valid_then_is_told_and_mended_by_setting_it():
    # Nothing here knows better than a plausible clock: the certificate may as well have expired.
    with DatedWorld("-200d", 300) as world:
        world.centre().start()
        station = world.station().start(environment=clock_off_by("+365d"))
        record = check_away(world, station, "expired", "expired")
        station.stop()
        station.start()  # no outage goes on over a start
        assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "2 min").returncode == 0


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
