"""Chains: station, relay, centre, with real daemons. Whose word counts for a record, and what the clerk reads
while it is on its way."""

import os
import pathlib
import shutil
import sys

from epoch_test import accepted_at, check_once, clock_off_by, events, submit
from harness import BIN, SOURCE, STATION, CuttingProxy, Skipped, World, free_port, run, tests, until

OLD_BIN = os.environ.get("TITIP_OLD_BIN")  # a build of the state before this was mended


def relay(world, name, port, above):
    """A relay that listens on `port` and hands on to the port `above`."""
    if not (world.path / f"{name}.pem").exists():
        world.issue(name, f"URI:titip:relay:{name},DNS:localhost,IP:127.0.0.1")
    world.config(name, name, f'[listen]\naddress = "127.0.0.1:{port}"\n\n'
                             f'[upstream]\nurl = "https://localhost:{above}"\nconnections = 2\n')
    return world._node(name)


def second_station(world, port):
    world.issue("other", "URI:titip:station:kab-karimun-04")
    world.config("other", "kab-karimun-04",
                 f'[seal]\nrecipients = ["{world.path}/recipient.pem", "{world.path}/escrow.pem"]\n\n'
                 f'[upstream]\nurl = "https://localhost:{port}"\nconnections = 2\n')
    return world._node("other")


def count(node, state):
    return node.status()["records"][state]["records"]


def said(node):
    return node.titip("status").stdout.decode()


def arrived(centre, how_many, looks):
    """A node that found a circle looks again after minutes; here it is told to."""
    looks.http("POST", "/v1/link/probe")
    return count(centre, "delivered") == how_many


def open_all(world, centre, records):
    for record, _ in records:
        done = centre.titip("open", record, "--key", world.path / "recipient.key",
                            "--certificate", world.path / "recipient.pem")
        assert done.returncode == 0, done.stderr


def test_a_relay_whose_stations_chose_the_same_ids_neither_stalls_nor_spins():
    with World() as world:
        hub_port = free_port()
        with CuttingProxy(world.port) as line:
            hub = relay(world, "hub", hub_port, line.port).start()
            one, two = world.station(port=hub_port).start(), second_station(world, hub_port).start()
            records = world.records(6, size_bytes=60_000)
            submit(one, records)
            submit(two, records)  # the same people's files: the ids are alike, the envelopes are not
            one.wait_drained()
            two.wait_drained()
            assert count(hub, "waiting") == 12
            centre = world.centre()
            line.drop_down_after = 200_000  # what was taken is not heard of
            centre.start()
            until(lambda: line.cuts == 1, "the answers are lost")
            hub.wait_drained()
            assert count(hub, "delivered") == 12 and count(hub, "quarantined") == 0
            taken = accepted_at(centre)
            assert len(taken) == 12 and len(set(taken)) == 6, taken
            assert line.up_bytes < 2 * 12 * 62_000, f"{line.up_bytes} bytes went up for 12 records of 60 kB"
        # At the centre each has a story of its own.
        story = centre.json("show", records[0][0], "--station", STATION)[0]["story"]
        assert [each["station"] for each in story] == [STATION], story


def test_a_centre_that_lost_its_store_opens_everything_again():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(3, size_bytes=60_000)
        submit(station, records)
        station.wait_drained()
        open_all(world, centre, records)
        until(lambda: count(station, "opened") == 3, "the verdicts are heard")
        centre.kill()
        shutil.rmtree(world.path / "centre")
        centre.start(environment=clock_off_by("+20m"))  # what came in the last ten minutes may be on its way
        until(lambda: len(events(station, "retry")) == 3, "the station hears that they are lost")
        until(lambda: count(station, "delivered") + count(station, "opened") == 3, "they are sent again")
        assert count(station, "opened") == 0, "on a verdict of the store that is lost"
        assert all(each["verdicts"] == [] for each in station.list())
        open_all(world, centre, records)
        until(lambda: count(station, "opened") == 3, "they are opened again")


def test_relays_that_name_each_other_say_so_and_go_on_once_one_is_corrected():
    with World() as world:
        ports = free_port(), free_port()
        first = relay(world, "hub-1", ports[0], ports[1]).start()
        second = relay(world, "hub-2", ports[1], ports[0]).start()
        for each in (first, second):
            until(lambda: each.link()["verdict"] == "loop", f"{each.name} says that it is a circle")
            assert "correct [upstream] url" in said(each), said(each)
        station = world.station(port=ports[0]).start()
        records = world.records(3, size_bytes=60_000)
        submit(station, records)
        station.wait_drained()
        assert count(first, "waiting") == 3 and count(second, "waiting") == 0
        centre = world.centre().start()
        second.stop()
        relay(world, "hub-2", ports[1], world.port)
        second.start()
        until(lambda: arrived(centre, 3, looks=first), "they arrive")
        check_once(centre, records)
        until(lambda: count(first, "relayed") == 3, "the receipts of the one above")


def test_a_node_is_no_upstream_of_itself():
    with World() as world:
        port = free_port()
        hub = relay(world, "hub", port, port).start()
        until(lambda: hub.link()["verdict"] == "loop", "it says so")
        assert "own name" in hub.link()["detail"]


def test_what_stood_in_a_circle_before_goes_on_after_the_update():
    if not OLD_BIN:
        raise Skipped("TITIP_OLD_BIN must name a build of the state before")
    with World() as world:
        ports = free_port(), free_port()
        first = relay(world, "hub-1", ports[0], ports[1])
        second = relay(world, "hub-2", ports[1], ports[0])
        for each in (first, second):
            start_old(each)
        station = world.station(port=ports[0]).start()
        records = world.records(3, size_bytes=60_000)
        submit(station, records)
        until(lambda: count(first, "relayed") == 3 and count(second, "relayed") == 3, "each counts on the other")
        for each in (first, second):
            each.stop()
            each.bin = BIN
        centre = world.centre().start()
        relay(world, "hub-2", ports[1], world.port)
        first.start()
        second.start()
        until(lambda: arrived(centre, 3, looks=first), "they arrive")
        check_once(centre, records)


def start_old(node):
    """As the state before this was mended would have it."""
    node.bin = pathlib.Path(OLD_BIN)
    node.start()


def test_a_station_that_moves_to_the_centre_gets_its_receipts():
    with World() as world:
        hub_port = free_port()
        centre = world.centre().start()
        hub = relay(world, "hub", hub_port, world.port).start()
        station = world.station(port=hub_port).start()
        records = world.records(5, size_bytes=60_000)
        submit(station, records)
        station.wait_drained()
        hub.wait_drained()
        assert count(station, "relayed") == 5
        assert "5 records" in said(station) and "handed on to hub, not yet at the centre" in said(station)
        assert "every record" not in said(station)
        assert station.status()["oldest_relayed_ms"] > 0
        station.stop()
        with CuttingProxy(world.port) as line:
            world.station(port=line.port)
            station.start()
            until(lambda: count(station, "delivered") == 5, "the centre's receipts come")
            assert line.up_bytes < 60_000, f"{line.up_bytes} bytes went up"
            open_all(world, centre, records)
            until(lambda: count(station, "opened") == 5, "and its verdicts")
            more = world.records(1, size_bytes=60_000, seed=2)
            submit(station, more)
            station.wait_drained()
            station.stop()
        # Back behind the relay: what waits for the centre's word stays as it is, and that is said.
        world.station(port=hub_port)
        station.start()
        until(lambda: station.link()["verdict"] == "ok", "it is connected")
        assert count(station, "delivered") == 1 and count(station, "opened") == 5
        assert "hub does not pass that on" in said(station), said(station)


def test_nothing_is_submitted_at_a_relay_and_the_rest_runs():
    with World() as world:
        hub_port = free_port()
        centre = world.centre().start()
        hub = relay(world, "hub", hub_port, world.port)
        assert hub.create().returncode == 0  # while it was in order
        hub.config.write_text(hub.config.read_text() + f'\n[seal]\nrecipients = ["{world.path}/recipient.pem", '
                                                       f'"{world.path}/escrow.pem"]\n')
        checked = run(BIN / "titipd", "--check", "--config", hub.config)
        assert checked.returncode == 1 and b"[seal] and [listen]" in checked.stderr, checked
        hub.start()
        assert "ALARM: [seal] and [listen]" in said(hub)
        records = world.records(2, size_bytes=60_000)
        refused = hub.submit(records[0][1])
        assert refused.returncode == 6 and b"at a station" in refused.stderr, refused
        station = world.station(port=hub_port).start()
        submit(station, records)
        until(lambda: count(centre, "delivered") == 2, "a station's go through")


def test_what_a_node_holds_can_be_taken_out_and_submitted_at_a_station():
    """As docs/operating.md has it for what was submitted at a relay; here from one that cannot send."""
    with World() as world:
        hub = relay(world, "hub", free_port(), world.port)
        if OLD_BIN:  # the trouble itself: nothing else takes records at a relay
            hub.config.write_text(hub.config.read_text() + f'\n[seal]\nrecipients = ["{world.path}/recipient.pem", '
                                                           f'"{world.path}/escrow.pem"]\n')
            start_old(hub)
            at = hub
        else:
            at = world.station(port=free_port()).start()
        (record, file), = world.records(1, size_bytes=60_000)
        submit(at, [(record, file)])
        done = run("sh", "-euc", f"""
            curl -s --unix-socket {at.socket} -o ID.cms http://localhost/v1/records/{record}/envelope
            openssl cms -decrypt -binary -inform DER -in ID.cms -recip recipient.pem -inkey recipient.key -out sealed.bin
            protoc -I {SOURCE}/proto --decode titip.v1.Sealed titip/v1/enrollment.proto <sealed.bin >sealed.txt
            sed -n '/^enrollment {{$/,/^}}$/p' sealed.txt | sed '1d;$d' |
                protoc -I {SOURCE}/proto --encode titip.v1.Enrollment titip/v1/enrollment.proto >ID.enrollment
            """, cwd=world.path)
        assert done.returncode == 0, done.stderr
        assert (world.path / "ID.enrollment").read_bytes() == file.read_bytes()


if __name__ == "__main__":
    tests(sys.modules[__name__])
