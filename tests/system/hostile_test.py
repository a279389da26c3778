"""Peers without a certificate, and a station that does what it can against the others: an honest station
beside it gets all its records in, and each bound says what it is."""

import base64
import contextlib
import resource
import socket
import struct
import threading

from harness import BIN, STATION, World, connected, exchange, run, tests, until

TUS = [("Tus-Resumable", "1.0.0")]
BODY = TUS + [("Content-Type", "application/offset+octet-stream")]
HOSTILE = "kab-hostile-01"


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    """Of a protobuf message: bytes, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


class Attacker:
    """A station of the same authority."""

    def __init__(self, world):
        self.world = world
        world.issue("hostile", f"URI:titip:station:{HOSTILE}")

    def offers(self, file, count, step=1):
        done = run(BIN / "titip-offer", "--certificate", self.world.path / "hostile.pem", "--key",
                   self.world.path / "hostile.key", "--station", HOSTILE, "--count", count, "--step", step, file)
        assert done.returncode == 0, done.stderr.decode()
        size = str(file.stat().st_size)
        return [[("Upload-Length", size), ("Upload-Metadata", f"manifest {line}")]
                for line in done.stdout.decode().split()]

    def post(self, secure, offer, body=b""):
        return exchange(secure, "POST", f"/v1/uploads/{HOSTILE}", body, BODY + offer)

    def connected(self):
        return connected(self.world, "hostile")


class Flood:
    """Opens `per_s` connections a second from an address, says `first` on each, and nothing more."""

    def __init__(self, port, per_s, address="127.0.0.2", first=b""):
        self.port, self.per_s, self.address, self.first = port, per_s, address, first
        self.opened = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        kept = []
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        most_open = min(most - 100, 6_000)
        while not self._over.wait(1 / self.per_s):
            with contextlib.suppress(OSError):
                one = socket.socket()
                kept.append(one)
                one.setblocking(False)
                one.bind((self.address, 0))
                with contextlib.suppress(BlockingIOError):
                    one.connect(("127.0.0.1", self.port))
                self.opened += 1
            if self.first and len(kept) > 1:
                with contextlib.suppress(OSError):
                    kept[-2].send(self.first)
            if len(kept) > most_open:
                kept.pop(0).close()
        for one in kept:
            one.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def honest_records_arrive(world, centre, seed, count=5):
    """From a station that begins now: each is accepted here and complete there."""
    station = world.station().start()
    try:
        records = world.records(count, size_bytes=40_000, seed=seed)
        for record, file in records:
            assert station.submit(file).returncode == 0
        station.wait_drained()
        for record, _ in records:
            assert station.state_of(record) in ("delivered", "opened")
    finally:
        station.stop()


def sealed(world):
    """The bytes of an envelope, in a file."""
    centre, station = world.centre().start(), world.station().start()
    (record, file), = world.records(1, size_bytes=20_000, seed=99)
    station.submit(file)
    station.wait_drained()
    _, _, envelope = centre.http("GET", f"/v1/records/{record}/envelope")
    station.stop()
    out = world.path / "sealed"
    out.write_bytes(envelope)
    return out


def test_peers_without_a_certificate_lock_nobody_out():
    # A ClientHello's first bytes: a record of 512, of which no more comes.
    half_a_hello = b"\x16\x03\x01" + struct.pack(">H", 512) + b"\x01"
    with World() as world:
        centre = world.centre().start()
        # Also from the honest station's own address, and some who are refused at once.
        for seed, (address, first) in enumerate((("127.0.0.2", b""), ("127.0.0.1", half_a_hello),
                                                 ("127.0.0.2", b"SSH-2.0-x\r\n"))):
            with Flood(world.port, 300, address, first) as flood:
                until(lambda: flood.opened > 1_500, "more come than are let go in a minute", limit_s=300)
                honest_records_arrive(world, centre, 10 + seed)
        assert centre.process.poll() is None


def test_a_station_that_only_begins_records_fills_nothing():
    with World() as world:
        envelope = sealed(world)
        centre = world.centre(quota="64 MiB")
        centre.stop()
        centre = world.centre(quota="64 MiB").start()
        attacker = Attacker(world)
        offers = attacker.offers(envelope, 9_000)
        begun = 0
        refusals = set()
        while offers and len(refusals) == 0:
            with attacker.connected() as secure:
                while offers:
                    status, fields, body = attacker.post(secure, offers.pop())
                    if status != 201:
                        refusals.add((status, fields.get("retry-after")))
                        assert b"incomplete" in body and b"taken to their end" in body, body
                        break
                    begun += 1
        assert refusals == {(503, "60")} and begun == 64, (refusals, begun)
        honest_records_arrive(world, centre, 20)
        # What was begun is taken to its end, and then another may be begun.
        with attacker.connected() as secure:
            status, fields, _ = attacker.post(secure, offers.pop(), envelope.read_bytes())
            assert status == 201 and "titip-receipt" in fields, (status, fields)


def reconcile_request(epoch, ranges):
    kept = b"".join(field(3, field(1, epoch) + field(2, first) + field(3, first)) for first in ranges)
    return field(1, field(1, epoch) + field(2, 1) + field(3, bytes(32))) + kept


def epoch_in(offer):
    """The manifest's epoch: 16 bytes behind the station's name, as our encoder writes it."""
    cms = base64.b64decode(offer[1][1].split()[1])
    at = cms.index(HOSTILE.encode()) + len(HOSTILE)
    assert cms[at + 1] == 16, cms[at:at + 2]
    return cms[at + 2:at + 18]


def test_a_station_with_holes_and_questions_about_them_holds_up_nobody():
    with World() as world:
        envelope = sealed(world)
        centre = world.nodes[0]
        attacker = Attacker(world)
        offers = attacker.offers(envelope, 400, step=40)
        over = threading.Event()
        asked, sent = [], []

        def ask():
            body = reconcile_request(epoch_in(offers[0]), range(2, 2_002, 2))
            while not over.is_set():
                with contextlib.suppress(OSError, ConnectionError), attacker.connected() as secure:
                    while not over.is_set():
                        asked.append(exchange(secure, "POST", "/v1/reconcile", body)[0])

        def send():
            with contextlib.suppress(OSError, ConnectionError), attacker.connected() as secure:
                for offer in offers:
                    if over.is_set():
                        return
                    sent.append(attacker.post(secure, offer, envelope.read_bytes())[0])

        working = [threading.Thread(target=each) for each in (send, ask, ask, ask)]
        for each in working:
            each.start()
        until(lambda: len(asked) > 10 and len(sent) > 100, "the questions are answered, and holes are there")
        honest_records_arrive(world, centre, 30)
        over.set()
        for each in working:
            each.join()
        assert set(asked) <= {200, 503}, set(asked)
        assert 200 in asked
        assert set(sent) == {201}, set(sent)
        assert centre.process.poll() is None


if __name__ == "__main__":
    tests(__import__("sys").modules[__name__])
