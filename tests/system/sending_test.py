"""How records are sent over a bad link: what is urgent goes before, what was cut off goes on from where it stands, and
a budget is kept. Bytes are counted at the link, and events waited for: nothing here is a matter of seconds."""

import sys

import harness
from harness import SOURCE, until
from layers_test import PORT, inside, office, order, station_at

sys.path.insert(0, str(SOURCE / "tests" / "link"))
from link import CENTRE, OFFICE  # noqa: E402

MOVED = "10.77.0.3"  # where the office is after its address changed
PATIENCE_S = 400


def submitted(world, station, size_bytes, count=1, lane="ordinary", seed=1):
    records = world.records(count, size_bytes=size_bytes, seed=seed)
    for _, file in records:
        done = station.submit(file, "--lane", lane)
        assert done.returncode == 0, done
    return [record for record, _ in records]


def wait_for(station, state, count):
    until(lambda: station.status()["records"].get(state, {"records": 0})["records"] == count,
          f"{count} records {state}: {station.status()}", PATIENCE_S)


def up_bytes(link):
    return link.seen()["up"]["bytes"]


def wait_up(link, more_bytes, since=0):
    until(lambda: up_bytes(link) - since > more_bytes, f"{more_bytes} bytes on their way", PATIENCE_S)


def delivered_in_order(station):
    return [each["id"] for each in station.json("events") if each["event"] == "delivered"]


def check_arrived_once(world, station, records):
    """At both ends, with the same bytes."""
    centre = world._node("centre")
    assert {each["id"] for each in station.list("--state", "delivered")} == set(records)
    there = centre.list("--state", "delivered")
    assert sorted(each["id"] for each in there) == sorted(records), there
    assert {each["digest"] for each in there} == {each["digest"] for each in station.list()}
    assert sorted(delivered_in_order(station)) == sorted(records)


def test_an_urgent_record_goes_before_a_large_one_that_is_under_way():
    with office("weak") as (world, link):
        world.station(port=PORT, host=CENTRE, connections=1)  # else it would go on another one
        station = world._node("station").start(before=inside(link.office))
        until(lambda: station.link()["up"], "the link is up")
        before = up_bytes(link)
        large, = submitted(world, station, 2_000_000)
        wait_up(link, 200_000, before)
        urgent, = submitted(world, station, 50_000, lane="urgent", seed=2)
        wait_for(station, "delivered", 1)
        assert station.state_of(urgent) == "delivered"
        assert station.state_of(large) == "waiting"
        wait_for(station, "delivered", 2)
        assert delivered_in_order(station) == [urgent, large]
        check_arrived_once(world, station, [urgent, large])
        seen = station.link()
        assert seen["sent_again_bytes"] == 0, seen
        assert "outage-began" not in [each["event"] for each in station.json("events")]


def check_goes_on(profile, disturb, noted=""):
    """A large record is under way when something happens; it goes on from what the centre has of it."""
    size_bytes = 1_500_000
    with office(profile) as (world, link):
        station = station_at(world, link)
        until(lambda: station.link()["up"], "the link is up")
        before = up_bytes(link)
        records = submitted(world, station, size_bytes)
        wait_up(link, size_bytes * 6 // 10, before)
        assert station.state_of(records[0]) == "waiting"
        disturb(world, link, station)
        wait_for(station, "delivered", 1)
        check_arrived_once(world, station, records)
        sent = up_bytes(link) - before
        assert sent < 1.5 * size_bytes, (sent, station.link())
        assert noted in station.log(), station.log()
        return station.link(), station.json("events")


def test_a_change_of_the_office_s_address_in_the_middle_of_a_body():
    seen, _ = check_goes_on("vsat0", lambda _, link, __: move_office(link), "address-gone")
    # What the centre had not got when the old connection was given up.
    assert 0 < seen["sent_again_bytes"] < 1_500_000 // 2, seen


def move_office(link):
    order(link, link.office, "ip", "address", "delete", OFFICE, "peer", CENTRE, "dev", "wire")
    order(link, link.office, "ip", "address", "add", MOVED, "peer", CENTRE, "dev", "wire")
    order(link, link.centre, "ip", "address", "delete", CENTRE, "peer", OFFICE, "dev", "wire")
    order(link, link.centre, "ip", "address", "add", CENTRE, "peer", MOVED, "dev", "wire")


def test_a_change_of_the_office_s_address_while_nothing_is_sent_is_no_outage():
    with office("vsat0") as (world, link):
        station = station_at(world, link)
        until(lambda: station.link()["up"], "the link is up")
        records = submitted(world, station, 20_000)
        wait_for(station, "delivered", 1)
        move_office(link)
        until(lambda: "address-gone" in station.log(), "it is seen")
        records += submitted(world, station, 20_000, seed=2)
        wait_for(station, "delivered", 2)
        check_arrived_once(world, station, records)
        assert "outage-began" not in [each["event"] for each in station.json("events")], station.log()


def test_a_centre_that_is_killed_in_the_middle_of_a_body():
    def kill(world, link, _):
        centre = world._node("centre")
        centre.kill()
        centre.start(before=inside(link.centre))

    seen, _ = check_goes_on("vsat0", kill)
    assert 0 < seen["sent_again_bytes"] < 1_500_000, seen


def test_a_station_that_is_killed_in_the_middle_of_a_body():
    def kill(_, link, station):
        station.kill()
        station.start(before=inside(link.office))

    check_goes_on("vsat0", kill)


def test_a_day_s_budget_is_not_exceeded_by_more_than_a_record():
    size_bytes = 300_000
    with office("vsat0") as (world, link):
        world.station(port=PORT, host=CENTRE, connections=1)  # each may have begun one
        file = world.path / "station.toml"
        file.write_text(file.read_text() + '\n[upstream.budget]\nday = "1 MB"\nurgent = "exempt"\n')
        station = world._node("station").start(before=inside(link.office))
        submitted(world, station, size_bytes, count=10)
        until(lambda: not station.link()["within_budget"] and station.link()["in_flight"] == 0,
              f"the budget is used up: {station.link()}", PATIENCE_S)
        seen = station.link()
        delivered = station.status()["records"]["delivered"]["records"]
        assert seen["sent_today_bytes"] >= 1_000_000, seen
        assert seen["sent_today_bytes"] - seen["retransmitted_bytes"] < 1_000_000 + 1.1 * size_bytes, seen
        assert seen["day_budget_bytes"] == 1_000_000
        assert 3 <= delivered <= 4, (delivered, seen)
        words = " ".join(station.titip("status").stdout.decode().split())
        assert "today's 1.00 MB of this link are used up. Sending goes on tomorrow." in words, words
        assert "of today's 1.00 MB" in words, words
        # A restart does not begin the day anew; what is urgent goes all the same, and nothing else.
        station.stop()
        station.start(before=inside(link.office))
        urgent, = submitted(world, station, 20_000, lane="urgent", seed=2)
        wait_for(station, "delivered", delivered + 1)
        assert station.state_of(urgent) == "delivered"
        seen = station.link()
        assert not seen["within_budget"] and seen["in_flight"] == 0, seen
        assert seen["sent_today_bytes"] >= 1_000_000, seen


def test_the_status_says_how_the_sending_goes():
    with office("vsat0") as (world, link):
        station = station_at(world, link)
        submitted(world, station, 200_000, count=12)
        until(lambda: station.status()["records"].get("delivered", {"records": 0})["records"] >= 2, "two are delivered",
              PATIENCE_S)
        until(lambda: station.link().get("rate_bytes_per_s"), "the link's rate is known", PATIENCE_S)
        until(lambda: station.link()["history"]["waiting_bytes"][-1] > 0, "what waits is looked at now and then")
        seen = station.link()
        # 1 Mbit/s is 125 kB/s. What is measured over a moment may be more, bits instead of bytes are far more.
        assert 0 < seen["rate_bytes_per_s"] < 500_000, seen
        assert seen["goodput_bytes_per_s"] > 0 and seen["goodput_hour_bytes_per_s"] >= 0, seen
        assert isinstance(seen["bbr_allowed"], bool)
        assert seen["congestion_control"] in (("bbr", "loss-based") if seen["bbr_allowed"] else ("loss-based",))
        assert seen["sent_bytes"] > 390_000 and seen["connections"] >= 1, seen
        past = seen["history"]
        assert past["slot_s"] == 300 and len(past["delivered_bytes"]) == len(past["waiting_bytes"]) >= 1, past
        assert sum(past["delivered_bytes"]) >= 390_000, past
        words = station.titip("status").stdout.decode()
        assert "Connected; sending now at" in words and "to go." in words, words
        assert "  sending      " in words and "% of the link" in words and "sent since the start" in words, words
        assert ("BBR is not allowed" in words) == (not seen["bbr_allowed"]), words
        wait_for(station, "delivered", 12)


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
