"""The authority changes while offices are away: docs/operating.md, "Change the authority", in its order and in the
wrong one. Nothing is set aside for a fault that is no record's, and what the new certificate signed goes on."""

import re
import signal
import sys

import harness
from harness import STATION, World, until

CENTRE = "URI:titip:centre,DNS:localhost,IP:127.0.0.1"
OFFICE = f"URI:titip:station:{STATION}"


def believe(world, node, *authorities):
    """The authorities in its file, as a reload or a start takes them."""
    text = "".join((world.path / f"{each}.pem").read_text() for each in authorities)
    (world.path / f"{node.name}-believes.pem").write_text(text)


def own_file(world, node):
    """Each node has a file of authorities of its own."""
    node.config.write_text(node.config.read_text().replace(f"{world.path}/root.pem",
                                                           f"{world.path}/{node.name}-believes.pem"))
    return node


def reload(node):
    before = node.log().count("reloaded")
    node.process.send_signal(signal.SIGHUP)
    until(lambda: node.log().count("reloaded") > before, f"{node.name} has read its files again")


def counted(node, state):
    return node.status()["records"][state]["records"]


def nodes(world):
    world._authority("new")
    centre, station = own_file(world, world.centre()), own_file(world, world.station())
    for each in (centre, station):
        believe(world, each, "root")
    return centre, station


def waits(station, records):
    return [each["records"] for each in station.link().get("deferred", [])] == [records]


def test_the_authority_is_changed_as_the_chapter_says_and_everything_arrives():
    with World() as world:
        centre, station = nodes(world)
        centre.start()
        station.start()
        records = world.records(6, size_bytes=20_000)
        station.submit(records[0][1])
        station.wait_drained()
        centre.stop()  # an office that is away takes records all the time
        station.submit(records[1][1])
        centre.start()
        for each in (station, centre):  # 1: both, everywhere
            believe(world, each, "root", "new")
            reload(each)
        station.submit(records[2][1])
        centre.stop()
        station.submit(records[3][1])  # 2: certificates, in any order
        world.issue("station", OFFICE, "new")
        reload(station)
        station.submit(records[4][1])
        world.issue("centre", CENTRE, "new")
        centre.start()
        for what in ("online", "empty"):  # 3
            assert station.titip("wait", "--until", what, "--timeout", "60 s").returncode == 0
        for each in (station, centre):  # 4: the old one goes
            believe(world, each, "new")
            reload(each)
        station.submit(records[5][1])
        station.wait_drained()
        assert counted(station, "delivered") == 6, station.status()["records"]
        assert "ALARM" not in station.titip("status").stdout.decode()


def test_in_the_wrong_order_nothing_is_set_aside_and_all_of_it_goes_by_itself():
    with World() as world:
        centre, station = nodes(world)
        station.start()
        old = world.records(8, size_bytes=50_000)
        for _, file in old:
            station.submit(file)
        world.issue("station", OFFICE, "new")
        world.issue("centre", CENTRE, "new")
        believe(world, station, "root", "new")
        believe(world, centre, "new")  # too early
        reload(station)
        (fresh, file), = world.records(1, size_bytes=50_000, seed=2)
        station.submit(file)
        centre.start()
        until(lambda: station.state_of(fresh) == "delivered", "what the new certificate signed is delivered")
        until(lambda: waits(station, 8) or counted(station, "quarantined") == 8, "the rest has been looked at")
        assert counted(station, "quarantined") == 0
        assert counted(station, "waiting") == 8
        status = station.titip("status").stdout.decode()
        assert re.search(r"ALARM: 8 records not sent for now, each because the upstream does not believe the "
                         rf"certificate of {STATION} that signed it \(.*not issued by", status), status
        assert "nothing is sent for now" in status, status
        shown = station.titip("show", old[0][0]).stdout.decode()
        assert "Not sent because the upstream does not believe" in shown and "Next try" in shown, shown
        assert "titip_deferred_records 8" in station.http("GET", "/v1/metrics")[2].decode()
        station.titip("resume")  # the centre has not been mended: still nothing is set aside
        until(lambda: station.log().count("deferred why=not-believed") == 1, "it is said once")
        assert counted(station, "waiting") == 8
        believe(world, centre, "root", "new")
        reload(centre)
        station.titip("resume")
        station.wait_drained()
        assert counted(station, "delivered") == 9
        assert station.link()["deferred"] == []
        assert not [e for e in station.json("events") if e["event"] in ("quarantine", "retry")]


def test_after_sighup_what_was_not_believed_is_tried_at_once():
    with World() as world:
        centre, station = nodes(world)
        station.start()
        for _, file in world.records(4, size_bytes=20_000):
            station.submit(file)
        world.issue("station", OFFICE, "new")
        world.issue("centre", CENTRE, "new")
        believe(world, station, "root", "new")
        believe(world, centre, "new")
        reload(station)
        centre.start()
        until(lambda: waits(station, 4) or counted(station, "quarantined") == 4, "all of it has been looked at")
        assert counted(station, "quarantined") == 0
        believe(world, centre, "root", "new")
        reload(centre)
        reload(station)
        station.wait_drained()
        assert counted(station, "delivered") == 4


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
