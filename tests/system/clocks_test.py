"""Dates and clocks, as people meet them: what ends soon is named where it is stood on, a clock that must be wrong is
said to be, and a record that tells an odd time, or comes under a second id, is told of."""

import hashlib
import os
import re
import sys
import time
import uuid

import harness
from harness import BIN, World, run, until
from layers_test import DatedWorld, clock_off_by

MONTH = 30 * 24 * 3600


def words(done):
    return " ".join((done.stdout + done.stderr).decode().split())


def check(world, name, environment=None):
    """titipd --check: (exit code, what it says)."""
    done = run(BIN / "titipd", "--config", world.path / f"{name}.toml", "--check",
               env={**os.environ, **(environment or {})})
    return done.returncode, words(done)


def under_another_id(file):
    """The same recording, as a capture program sends it again that makes a new id for each try."""
    data = file.read_bytes()
    assert data[:2] == b"\x0a\x10"
    changed = file.with_name(f"{uuid.uuid4()}.enrollment")
    changed.write_bytes(data[:2] + uuid.UUID(changed.stem).bytes + data[18:])
    return changed.stem, changed


def taken_at(file, milliseconds):
    """The same person under another id, recorded by a capture set whose clock says that."""
    _, changed = under_another_id(file)
    data = changed.read_bytes()
    assert data[18] == 0x10
    end = next(i for i in range(19, 40) if data[i] < 0x80) + 1
    number = b""
    while milliseconds >= 0x80:
        number += bytes([milliseconds & 0x7f | 0x80])
        milliseconds >>= 7
    changed.write_bytes(data[:19] + number + bytes([milliseconds]) + data[end:])
    return changed


def nik_in(file):
    """Field 1 of Biodata, which the invented ones begin with 99."""
    return re.search(rb"\x0a\x10(99[0-9]{14})", file.read_bytes()).group(1)


def test_one_citizen_under_two_ids_is_told_and_nothing_of_the_number_is_written():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1, size_bytes=60_000)
        first = station.submit(file)
        again, copy = under_another_id(file)
        second = station.submit(copy)
        assert first.returncode == second.returncode == 0
        assert b"nik-seen-before" not in first.stdout
        assert "[nik-seen-before]" in words(second) and record in words(second), second
        assert "The other record is waiting." in words(second), second
        assert b"nik-seen-before" not in station.submit(file).stdout  # no record is its own double
        _, _, body = station.http("PUT", f"/v1/records/{again}", copy.read_bytes())
        assert f'"same_nik":{{"id":"{record}","state":"waiting"}}'.encode() in body, body
        assert station.show(again)["warnings"] == ["nik-seen-before"], station.show(again)
        everything = [first.stdout, second.stdout, second.stderr, body, station.log().encode(),
                      *(station.titip(*each).stdout for each in
                        (("status",), ("--json", "status"), ("--json", "show", again), ("--json", "events")))]
        assert station.stop() == 0
        everything += [each.read_bytes() for each in (world.path / "station").rglob("*") if each.is_file()]
        nik = nik_in(file)
        digest = hashlib.sha256(nik).digest()
        for said in everything:
            assert nik not in said and digest[:12] not in said and digest.hex()[:24].encode() not in said
        # A fresh key at each start: what came before it is not known, and no warning is made up.
        station.start()
        third, copy = under_another_id(file)
        assert b"nik-seen-before" not in station.submit(copy).stdout


def test_a_capture_set_with_a_wrong_clock_is_told_so():
    with World() as world:
        station = world.station().start()
        (_, file), = world.records(1, size_bytes=60_000)
        for year, ms in ((1970, 3_600_000), (2000, 946_728_000_000), (2106, 4_291_790_400_000),
                         (9999, 253_370_808_000_000)):
            done = station.submit(taken_at(file, ms))
            assert done.returncode == 0, done
            assert f"The clock of the capture set says {year}-01-01" in words(done), done
            assert "[taken-at-odd]" in words(done) and "birth" not in words(done), done
        done = station.submit(taken_at(file, 253_402_300_800_000))
        assert done.returncode == 6 and "The clock of the capture set" in words(done), done
        assert station.submit(file).stdout.count(b"taken-at-odd") == 0


def test_the_end_of_an_authority_is_said_before_wherever_it_is_stood_on():
    with DatedWorld("-30d", 35) as world:
        for name, names in (("centre", "URI:titip:centre,DNS:localhost"),
                            ("station", "URI:titip:station:kab-karimun-03"), ("recipient", "DNS:recipient")):
            world.days = 400
            world.issue(name, names)
        centre, station = world.centre().start(), world.station().start()
        until(lambda: station.link()["up"], "the station is online")
        for node in (centre, station):
            said = words(node.titip("status"))
            assert "Warning: the authority CN=root, on which this node's certificate" in said, said
            status = node.status()
            assert status["certificate_expires_subject"] == "CN=root" and status["certificate_expires_is_authority"]
            assert 0 < status["certificate_expires_ms"] - time.time() * 1000 < MONTH * 1000
            code, told = check(world, node.name)
            assert code == 0 and "warning" in told and "CN=root expires on" in told, told
            assert 'certificate-expires subject="CN=root" is=authority' in node.log(), node.log()
            _, _, metrics = node.http("GET", "/v1/metrics")
            assert b'titip_certificate_expires_timestamp_seconds{subject="CN=root",is="authority"' in metrics
        said = words(station.titip("status"))
        assert "and the upstream's and one that records are sealed to stand, expires on" in said, said
        served = {each["subject"]: each["serves"] for each in station.status()["certificates"]}
        assert served["CN=centre"] == ["upstream"] and served["CN=recipient"] == ["recipient"], served


def test_a_centre_says_whom_it_refuses_for_dates_until_they_are_renewed():
    with DatedWorld("-400d", 2000) as world:
        world.clock, world.days = "-60d", 30
        world.issue("station", "URI:titip:station:kab-karimun-03")
        centre, station = world.centre().start(), world.station().start()
        said = until(lambda: "refused" in (told := words(centre.titip("status"))) and told, "the centre says so")
        assert ("Warning: 1 station was refused in the last day because its certificate has expired "
                "(kab-karimun-03)") in said, said
        assert b'titip_refused_peers{why="expired"} 1' in centre.http("GET", "/v1/metrics")[2]
        assert centre.log().count("peer-refused why=expired says=kab-karimun-03") == 1, centre.log()
        assert "ALARM: this node's certificate has expired on" in words(station.titip("status"))
        code, told = check(world, "station")
        assert code == 1 and "CN=station has expired on" in told and "good" not in told, told
        assert "certificate-expired subject=\"CN=station\" is=own" in station.log(), station.log()
        world.clock, world.days = "-1d", 300
        world.issue("station", "URI:titip:station:kab-karimun-03")
        station.stop()
        station.start()
        until(lambda: station.link()["up"], "the station is let in")
        assert "refused" not in words(centre.titip("status"))


def test_a_centre_whose_own_authority_has_ended_says_that_others_do_not_accept_it():
    with DatedWorld("-60d", 30) as world:
        centre, station = world.centre().start(), world.station().start()
        said = until(lambda: "broke off" in (told := words(centre.titip("status"))) and told, "the centre says so")
        assert "ALARM: the authority CN=root, on which this node's certificate stands, has expired" in said, said
        assert "because it does not accept this node's certificate" in said, said
        (_, file), = world.records(1)
        assert station.submit(file).returncode == 0  # recording never stops for it
        assert check(world, "centre")[0] == 1


def test_a_clock_five_years_ahead_is_told_and_frightens_nobody():
    with DatedWorld("-30d", 4000) as world:
        for name in ("recipient", "escrow"):
            world.days = 400
            world.issue(name, f"DNS:{name}")
        world.centre().start()
        station = world.station().start(environment=clock_off_by("+1825d"))
        said = until(lambda: "must be wrong" in (told := words(station.titip("status"))) and told, "it says so")
        assert "it must be wrong: the centre signed something on" in said, said
        assert "has expired" not in said and "ends on" not in said, said
        assert station.status()["clock"]["state"] == "ahead", station.status()["clock"]
        (_, file), = world.records(1)
        done = station.submit(file)  # the capture set's clock is right, and is not blamed
        assert done.returncode == 0 and b"taken-at-odd" not in done.stdout, done
        assert station.log().count("clock-wrong is=ahead") == 1, station.log()


def test_a_dead_battery_is_told_and_the_capture_set_is_not_blamed_for_it():
    with DatedWorld("-400d", 2000) as world:
        station = world.station().start(environment=clock_off_by("-9000d"))
        said = words(station.titip("status"))
        assert "ALARM: the clock of this machine says 200" in said and "this program was made on" in said, said
        code, told = check(world, "station", clock_off_by("-9000d"))
        assert code == 1 and "it must be wrong" in told, told
        (_, file), = world.records(1)
        done = station.submit(file)
        assert done.returncode == 0 and b"taken-at-odd" not in done.stdout, done


def test_files_that_do_not_fit_together_fail_the_check_and_not_the_start():
    with World() as world:
        station = world.station()
        code, told = check(world, "station")  # that there is no store yet is a warning of its own
        assert code == 0 and told.startswith(f"{world.path}/station.toml: good") and "[identity]" not in told, told
        world.issue("station", "URI:titip:station:kab-karimun-03", authority="other")
        code, told = check(world, "station")
        assert code == 1 and "was issued by no authority in" in told and "root.pem" in told, told
        station.start()
        assert "ALARM: [identity] certificate" in words(station.titip("status"))
        assert "misfit [identity] certificate" in station.log(), station.log()
        world.issue("centre", "URI:titip:centre")
        world.centre()
        code, told = check(world, "centre")
        assert code == 1 and "names no DNS name and no address" in told, told


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
