"""Neighbours of two versions, in both orders: an office of version 1 at a centre of today, an office of today at a
centre of version 1, and what becomes of records that the old office set aside when it is updated. For each refusal
that version 2 says or makes otherwise: nothing is lost, and what can be delivered is.

The old ones are a build of the last state of version 1: TITIP_OLD_BIN=DIR, with its titipd and titip. Without it
nothing runs:
    git worktree add ../version-1 61efe54; cd ../version-1; .ci/build release titipd titip
"""

import os
import pathlib
import shutil
import sys

import harness
from harness import BIN, STATION, Skipped, World, run, until
from trouble_test import intercept

OLD = pathlib.Path(os.environ["TITIP_OLD_BIN"]) if "TITIP_OLD_BIN" in os.environ else None
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
OWN = f"URI:titip:station:{STATION}"


class Mixed(World):
    """Whose certificates have the dates that a test wants, and whose nodes the version."""

    def __init__(self):
        if OLD is None:
            raise Skipped("needs a build of version 1: TITIP_OLD_BIN=DIR")
        if FAKETIME is None:
            raise Skipped("needs faketime, to make certificates that have expired")
        self.made_at = None
        super().__init__()

    def _openssl(self, *arguments):
        off = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": self.made_at} if self.made_at else {}
        done = run("openssl", *arguments, cwd=self.path, env={**os.environ, **off})
        assert done.returncode == 0, done.stderr.decode()

    def certify(self, made_at=None, authority="root", names=OWN):
        """A new key and certificate of the office, good for 30 days from `made_at`."""
        self.made_at = made_at
        self.issue("station", names, authority)
        self.made_at = None

    def believe(self, *authorities):
        """At the centre, from its next start on."""
        pem = b"".join((self.path / f"{each}.pem").read_bytes() for each in authorities)
        (self.path / "believed.pem").write_bytes(pem)
        config = self.path / "centre.toml"
        config.write_text(config.read_text().replace("/root.pem", "/believed.pem"))


def update(node):
    """The same store, by the daemon of today."""
    node.stop()
    node.bin = BIN
    return node.start()


def of_version(node, version):
    """Version 1 refuses a key that it does not know."""
    node.bin = version
    if version == OLD:
        lines = node.config.read_text().splitlines(keepends=True)
        node.config.write_text("".join(each for each in lines if not each.startswith("volatile")))
    return node


def office(world, version, **options):
    return of_version(world.station(**options), version)


def centre(world, version, **options):
    return of_version(world.centre(**options), version)


def taken(node, records):
    """Recorded while nothing is there that would take them."""
    node.start()
    for record, file in records:
        assert node.submit(file).returncode == 0, record
    node.stop()


def has_bytes(node, record):
    status, _, sealed = node.http("GET", f"/v1/records/{record}/envelope")
    return status == 200 and len(sealed) == node.show(record)["size_bytes"]


def set_aside(node, record, reason):
    until(lambda: node.state_of(record) == "quarantined", f"set aside as {reason}")
    shown = node.show(record)
    assert shown["reason"] == reason, shown
    assert has_bytes(node, record), "it is kept"
    return shown


def delivered(node, *records):
    for record in records:
        done = node.titip("wait", "--until", f"delivered={record}", "--timeout", "60 s")
        assert done.returncode == 0, node.show(record)


def has_once(node, records):
    got = [each["id"] for each in node.json("events") if each["event"] == "accepted"]
    assert sorted(got) == sorted(record for record, _ in records), got


def expired(world, version, records):
    """An office that recorded under a certificate which had ended, and has another one since."""
    world.certify(made_at="-40d")
    node = office(world, version)
    taken(node, records)
    world.certify()
    return node


def test_an_old_office_delivers_what_it_took_under_an_expired_certificate_to_a_new_centre():
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        station = expired(world, OLD, records)
        above = centre(world, BIN).start()
        station.start()
        delivered(station, *[record for record, _ in records])
        has_once(above, records)


def test_a_new_office_keeps_what_an_old_centre_does_not_believe_for_its_dates():
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        station = expired(world, BIN, records)
        centre(world, OLD).start()
        station.start()
        for record, _ in records:
            assert set_aside(station, record, "refused")["note"].startswith("the manifest is not believed")


def test_what_an_old_office_set_aside_for_its_dates_is_kept_by_its_update_and_comes_free_by_the_centres():
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        station = expired(world, OLD, records)
        above = centre(world, OLD).start()
        station.start()
        for record, _ in records:
            set_aside(station, record, "refused")
        update(station)
        for record, _ in records:
            set_aside(station, record, "refused")
        update(above)
        delivered(station, *[record for record, _ in records])
        has_once(above, records)


def test_what_an_old_office_set_aside_and_is_not_believed_still_is_set_aside_again_and_stops_nothing():
    with Mixed() as world:
        records = world.records(3, size_bytes=60_000)
        foreign, (good, good_file) = records[:2], records[2]
        station = of_another_authority(world, OLD, foreign)
        above = centre(world, OLD).start()
        station.start()
        for record, _ in foreign:
            set_aside(station, record, "refused")
        update(above)
        update(station)
        until(lambda: all([each["event"] for each in station.show(record)["story"]].count("retry") == 1
                          for record, _ in foreign), "each came free once")
        for record, _ in foreign:
            set_aside(station, record, "refused")
        station.submit(good_file)
        delivered(station, good)
        world.believe("root", "other")
        above.stop()
        above.start()
        assert station.titip("retry", "--reason", "refused").returncode == 0
        delivered(station, *[record for record, _ in foreign])
        has_once(above, records)


def test_an_old_office_is_not_told_more_by_a_new_centre_than_it_understands():
    """What it makes of each refusal with a type is what it made of it without one."""
    told = [(422, "titip:not-believed", "refused"), (403, "titip:role", "not-ours"), (413, "titip:limit", "too-large"),
            (409, "titip:conflict", "conflict"), (460, "titip:mismatch", "mismatch"), (422, "titip:of-later", "refused"),
            (422, "titip:revoked", "refused")]
    for status, word, reason in told:
        with Mixed() as world:
            centre(world, BIN).start()
            body = f'{{"type":"{word}","title":"no","status":{status}}}'.encode()
            answer = (f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n").encode() + body
            with intercept(world, lambda _: answer) as proxy:
                station = office(world, OLD, port=proxy.port).start()
                (record, file), = world.records(1, size_bytes=60_000)
                station.submit(file)
                set_aside(station, record, reason)


def of_another_authority(world, version, records):
    """An office that recorded under a certificate of an authority that the centre does not know."""
    world.certify(authority="other")
    node = office(world, version)
    taken(node, records)
    world.certify()
    return node


def test_an_old_office_keeps_what_a_new_centre_does_not_believe_until_it_knows_the_authority():
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        station = of_another_authority(world, OLD, records)
        above = centre(world, BIN).start()
        station.start()
        for record, _ in records:
            set_aside(station, record, "refused")
        world.believe("root", "other")
        above.stop()
        above.start()
        for record, _ in records:
            assert station.titip("retry", record).returncode == 0
        delivered(station, *[record for record, _ in records])
        has_once(above, records)


def test_a_new_office_keeps_what_an_old_centre_does_not_believe_until_it_knows_the_authority():
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        station = of_another_authority(world, BIN, records)
        above = centre(world, OLD).start()
        station.start()
        for record, _ in records:
            set_aside(station, record, "refused")
        world.believe("root", "other")
        above.stop()
        above.start()
        for record, _ in records:
            assert station.titip("retry", record).returncode == 0
        delivered(station, *[record for record, _ in records])
        has_once(above, records)


def check_role(hub_version, centre_version):
    """A relay that is made a station, with a record of another station still in it."""
    with Mixed() as world:
        port = harness.free_port()
        upstream = f'[upstream]\nurl = "https://localhost:{world.port}"\n'
        world.issue("hub", "URI:titip:relay:hub,DNS:localhost,IP:127.0.0.1")
        world.config("hub", "hub", f'[listen]\naddress = "127.0.0.1:{port}"\n\n{upstream}')
        hub = of_version(world._node("hub"), hub_version).start()
        station = office(world, hub_version, port=port).start()
        (record, file), = world.records(1, size_bytes=60_000)
        station.submit(file)
        until(lambda: station.state_of(record) == "relayed", "the relay has it")
        hub.stop()
        for each in ("hub.pem", "hub.key", "hub.toml"):
            shutil.copy(world.path / each, world.path / f"relay-{each}")
        world.issue("hub", "URI:titip:station:hub")
        world.config("hub", "hub", upstream)
        of_version(hub, hub_version)
        above = centre(world, centre_version).start()
        hub.start()
        set_aside(hub, record, "not-ours")
        hub.stop()
        for each in ("hub.pem", "hub.key", "hub.toml"):
            shutil.copy(world.path / f"relay-{each}", world.path / each)
        hub.start()
        assert hub.titip("retry", record).returncode == 0
        delivered(hub, record)
        has_once(above, [(record, file)])


def test_an_old_node_keeps_what_it_may_not_offer_a_new_centre():
    check_role(OLD, BIN)


def test_a_new_node_keeps_what_it_may_not_offer_an_old_centre():
    check_role(BIN, OLD)


def check_full(office_version, centre_version):
    with Mixed() as world:
        records = world.records(8, size_bytes=300_000)
        station = office(world, office_version)
        taken(station, records)
        above = centre(world, centre_version, quota="1 MiB").start()
        station.start()
        until(lambda: station.link()["verdict"] == "maintenance", "it waits for room")
        assert not station.list("--state", "quarantined")
        config = world.path / "centre.toml"
        config.write_text(config.read_text().replace('quota = "1 MiB"', 'quota = "1 GiB"'))
        above.stop()
        above.start()
        station.stop()  # it would wait as long as it was asked to
        station.start()
        delivered(station, *[record for record, _ in records])
        has_once(above, records)


def test_an_old_office_waits_for_room_at_a_new_centre():
    check_full(OLD, BIN)


def test_a_new_office_waits_for_room_at_an_old_centre():
    check_full(BIN, OLD)


def check_conflict(office_version, centre_version):
    with Mixed() as world:
        records = world.records(2, size_bytes=60_000)
        above = centre(world, centre_version).start()
        station = office(world, office_version).start()
        station.submit(records[0][1])
        delivered(station, records[0][0])
        station.stop()
        shutil.rmtree(world.path / "station")  # a machine that was set up anew, and a clerk who records once more
        station.start()
        for _, file in records:
            station.submit(file)
        set_aside(station, records[0][0], "conflict")
        delivered(station, records[1][0])
        has_once(above, records)


def test_a_conflict_of_an_old_office_at_a_new_centre_costs_itself_only():
    check_conflict(OLD, BIN)


def test_a_conflict_of_a_new_office_at_an_old_centre_costs_itself_only():
    check_conflict(BIN, OLD)


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
