"""The local socket, the configuration, and the command line: bad input loses nothing and says why."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid

import harness
from harness import BIN, World, run, until


def test_bad_local_input_is_refused_with_a_sentence_and_stores_nothing():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1)
        good = file.read_bytes()
        cases = [
            ("PUT", f"/v1/records/{record}", b"\xff not protobuf", 400),
            ("PUT", f"/v1/records/{record}", b"", 400),
            ("PUT", "/v1/records/not-a-uuid", good, 400),
            ("PUT", f"/v1/records/{uuid.uuid4()}", good, 400),
            ("PUT", f"/v1/records/{record}?lane=express", good, 400),
            ("PUT", f"/v1/records/{record}", bytes(20_000_000), 413),
            ("GET", f"/v1/records/{uuid.uuid4()}", b"", 404),
            ("GET", "/v1/records?state=lost", b"", 400),
            *(("GET", f"/v1/{query}", b"", 400) for query in (
                "records?limit=abc", "records?after=-1", "records?before_ms=1e3", "records?held=yes", "events?after=abc",
                "events?after=0&wait_s=")),
            ("POST", "/v1/verdicts", b"{}", 400),
            ("GET", "/v2/status", b"", 404),
        ]
        for method, target, body, expected in cases:
            status, fields, answer = station.http(method, target, body)
            assert status == expected, (method, target, status, answer)
            assert fields["content-type"] == "application/problem+json", fields
            assert json.loads(answer)["title"], answer
        assert station.list() == []


def test_every_defect_is_reported_in_one_answer():
    with World() as world:
        station = world.station().start()
        record = uuid.uuid4()
        # An Enrollment that has an id and nothing else.
        status, _, answer = station.http("PUT", f"/v1/records/{record}", b"\x0a\x10" + record.bytes)
        assert status == 400
        defects = json.loads(answer)["defects"]
        assert len(defects) > 10, defects
        assert {"code", "field", "sentence"} <= set(defects[0])


def test_repeating_a_submission_gives_the_first_answer_and_other_bytes_are_refused():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1)
        body = file.read_bytes()
        first = station.http("PUT", f"/v1/records/{record}", body)
        again = station.http("PUT", f"/v1/records/{record}", body)
        assert (first[0], again[0]) == (201, 200)
        told = json.loads(again[2])
        assert told.pop("is_compared") and told.pop("state") in ("waiting", "delivered"), told  # of a repetition only
        assert json.loads(first[2]) == told
        # Another device serial under the same id: valid, but not the same record.
        other = world.records(1, seed=2)[0][1].read_bytes()
        other_id = uuid.UUID(world.records(1, seed=2)[0][0]).bytes
        changed = other.replace(other_id, uuid.UUID(record).bytes, 1)
        status, _, answer = station.http("PUT", f"/v1/records/{record}", changed)
        assert status == 409, (status, answer)
        assert len(station.list()) == 1


def test_an_answer_that_was_lost_is_given_again():
    with World() as world:
        station = world.station().start()
        (record, file), = world.records(1)
        body = file.read_bytes()
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(station.socket))
            head = f"PUT /v1/records/{record} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
            local.sendall(head.encode() + body)
        until(lambda: len(station.list()) == 1, "the record whose submitter went away is accepted")
        status, _, answer = station.http("PUT", f"/v1/records/{record}", body)
        assert status == 200 and json.loads(answer)["sequence"] == 1
        assert len(station.list()) == 1


def test_who_lacks_the_role_is_refused():
    with World() as world:
        world.station()
        text = (world.path / "station.toml").read_text().replace('submit = "root"', 'submit = "nogroup"')
        text = text.replace('operate = "root"', 'operate = "no-such-group"')
        (world.path / "station.toml").write_text(text)
        station = world.nodes[0].start()
        (record, file), = world.records(1)
        done = station.submit(file)
        assert done.returncode == 4, done
        assert b"nogroup" in done.stderr, done.stderr
        assert station.titip("pause").returncode == 4
        assert station.titip("acknowledge", "1", "--reason", "x").returncode == 4
        assert station.titip("unrevoke", "0" * 64, "--reason", "x").returncode == 4
        assert station.list() == []
        status, _, _ = station.http("GET", "/v1/status", headers=[("Origin", "https://evil.example")])
        assert status == 403


def test_exit_codes_say_what_happened():
    with World() as world:
        station = world.station().start()
        assert station.titip("status").returncode == 0
        assert station.titip("show", str(uuid.uuid4())).returncode == 5
        assert station.titip("show", "nonsense").returncode == 2
        assert station.titip("frobnicate").returncode == 2
        for arguments in (["receipt", "nonsense"], ["hold", "nonsense"], ["verdict", "nonsense", "opened"],
                          ["wait", "--until", "delivered=nonsense"], ["status", "--every-s", "-3"],
                          ["status", "--every-s", "nan"], ["status", "--every-s", "0"]):
            assert station.titip(*arguments).returncode == 2, arguments
        assert station.titip("wait", "--until", "online", "--timeout", "100 ms").returncode == 1
        assert station.titip("help").returncode == 0 and b"submit" in station.titip("help").stdout
        assert b"--timeout" in station.titip("help", "wait").stdout
        assert station.titip("help", "frobnicate").returncode == 2
        none = [BIN / "titip", "--socket", world.path / "none.sock"]
        assert run(*none, "status").returncode == 3
        assert run(*none, "show", "nonsense").returncode == 2, "wrong whoever is asked"
        done = run(*none, "--json", "status")
        assert done.returncode == 3 and "not reachable" in json.loads(done.stdout)["title"], done
        done = run(BIN / "titip", "verify", "/etc/hostname", "--authorities", world.path / "root.pem")
        assert done.returncode == 6 and b"this is not a signed statement" in done.stderr, done


def test_no_sentence_names_a_cause_that_was_not_looked_for():
    if os.geteuid() != 0:
        print("skipped: needs root to be somebody else")
        return
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with World() as world:
        station = world.station()
        (world.path / "closed").mkdir(mode=0o700)
        (world.path / "closed/state").mkdir()
        (world.path / "closed/state/data.mdb").write_bytes(b"")
        done = run(*nobody, BIN / "titip", "compact", "--state", world.path / "closed/state")
        assert done.returncode == 6 and b"Permission denied: the user nobody may not" in done.stderr, done
        assert b"there is no store" not in done.stderr, done
        done = run(BIN / "titip", "compact", "--state", world.path / "none")
        assert b"there is no store" in done.stderr, done
        done = run(BIN / "titip", "compact", "--state", station.config / "below")
        assert b"not a directory" in done.stderr and b"no store" not in done.stderr, done
        # The daemon's files, and its socket.
        station.config.chmod(0o600)
        done = run(*nobody, BIN / "titipd", "--config", station.config)
        assert done.returncode == 1 and b"Permission denied" in done.stderr and b"write this file" not in done.stderr, done
        dead = world.path / "dead.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(dead))
        dead.chmod(0o666)
        asked = lambda path, who=(): run(*who, BIN / "titip", "--socket", path, "status").stderr
        assert b"nobody listens at this socket" in asked(dead), asked(dead)
        assert b"there is no such socket" in asked(world.path / "none.sock")
        said = asked(world.path / "closed/titip.sock", nobody)
        assert b"the user nobody may not use this socket" in said and b"ended" not in said, said
        # What ends a start is an error where systemd's journal reads it.
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as journal:
            stat = os.fstat(writing)
            environment = {**os.environ, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
            ended = subprocess.run([BIN / "titipd", "--config", world.path / "none.toml"], stderr=writing, env=environment)
            os.close(writing)
            assert ended.returncode == 1 and journal.read().startswith(b"<3>titipd: "), ended


def test_a_group_that_one_has_not_logged_in_with_is_said():
    if os.geteuid() != 0:
        print("skipped: needs root to be somebody else")
        return
    with World() as world:
        station = world.station()
        text = station.config.read_text()
        station.config.write_text(re.sub(r'(?m)^read = .*$', 'read = "daemon"', text))
        station.start(wait=False)
        until(lambda: station.socket.exists(), "the socket")
        # Root by name, and without the group that the status needs: this is not root's login.
        done = until(lambda: (r := station.titip("status")).returncode == 4 and r, "it is refused")
        assert b"The user root is not a member of \"daemon\"" in done.stderr, done


def test_a_program_gets_json_from_every_command():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        assert station.submit(file).returncode == 0
        assert station.json("wait", "--until", f"delivered={record}", "--timeout", "60 s") == [
            {"until": f"delivered={record}", "holds": True}]
        receipt = station.json("receipt", record)[0]["receipt"]
        assert base64.b64decode(receipt) == station.titip("receipt", record).stdout
        assert station.json("show", record.upper())[0]["id"] == record
        centre.stop()
        done = station.titip("--json", "wait", "--until", f"delivered={record}", "--timeout", "1 ms")
        assert done.returncode == 0, "what was delivered stays so"
        station.titip("pause")
        (second, other), = world.records(1, seed=2)
        station.submit(other)
        done = station.titip("--json", "wait", "--until", "empty", "--timeout", "1 ms")
        assert done.returncode == 1 and json.loads(done.stdout) == {"until": "empty", "holds": False}, done


def test_what_cannot_come_is_not_waited_for():
    with World() as world:
        centre = world.centre().start()
        done = centre.titip("wait", "--until", "online", "--timeout", "60 s")
        assert done.returncode == 6 and b"no upstream" in done.stderr, done
        assert b"no upstream" in centre.titip("--json", "wait", "--until", "online").stdout


def test_a_lane_is_chosen_once():
    with World() as world:
        station = world.station().start()
        (record, file), (_, second) = world.records(2)
        done = station.submit(file, second, "--lane", "express")
        assert done.returncode == 2 and done.stderr.count(b"express") == 1, done
        assert station.list() == []
        assert station.submit(file).returncode == 0
        done = station.submit(file, "--lane", "urgent")
        assert done.returncode == 0 and b"stays in the lane ordinary" in done.stdout, done
        assert station.show(record)["lane"] == "ordinary"
        assert b"lane" not in station.submit(file, "--lane", "ordinary").stdout
        assert b"lane" not in station.submit(second, "--lane", "urgent").stdout


def test_a_record_of_two_stations_is_asked_for_by_station():
    with World() as world:
        centre = world.centre().start()
        world.issue("other", "URI:titip:station:other-office")
        (record, file), = world.records(1)
        more = (f'[seal]\nrecipients = ["{world.path}/recipient.pem", "{world.path}/escrow.pem"]\n\n'
                f'[upstream]\nurl = "https://localhost:{world.port}"\n')
        world.config("other", "other-office", more)
        for station in (world.station().start(), world._node("other").start()):
            assert station.submit(file).returncode == 0
            assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "60 s").returncode == 0
        done = centre.titip("show", record)
        assert done.returncode == 6, done
        assert b"kab-karimun-03" in done.stderr and b"other-office" in done.stderr, done.stderr
        assert b"--station NAME" in done.stderr and b"?station" not in done.stderr, done.stderr
        assert json.loads(centre.titip("--json", "show", record).stdout)["stations"] == ["kab-karimun-03", "other-office"]
        assert b"station other-office" in centre.titip("show", record, "--station", "other-office").stdout
        assert centre.titip("verdict", record, "opened", "--station", "other-office").returncode == 0
        assert centre.titip("show", record, "--station", "third").returncode == 5
        assert centre.titip("show", record, "--station", "a b").returncode == 2


def test_an_operator_can_hold_release_pause_and_resume():
    with World() as world:
        centre, station = world.centre(), world.station().start()
        (first, file), (second, other) = world.records(2)
        assert station.submit(file).returncode == 0 and station.submit(other).returncode == 0
        assert station.titip("hold", first).returncode == 0
        assert [r["id"] for r in station.list("--held")] == [first]
        station.kill()
        station.start()
        assert [r["id"] for r in station.list("--held")] == [first], "a hold survives a restart"
        centre.start()
        station.titip("wait", "--until", f"delivered={second}", "--timeout", "60 s")
        assert station.state_of(second) == "delivered"
        assert station.state_of(first) == "waiting"
        assert station.titip("pause").returncode == 0
        assert station.titip("release", first).returncode == 0
        assert station.show(first)["paused"] is True
        station.kill()
        station.start()
        assert station.status()["paused"] is True, "a pause survives a restart"
        assert station.titip("resume").returncode == 0
        assert station.titip("wait", "--until", f"delivered={first}", "--timeout", "60 s").returncode == 0
        events = [e["event"] for e in station.json("events") if e.get("id") == first]
        assert events == ["accepted", "hold", "release", "delivered"], events


def test_a_verdict_of_the_centre_reaches_the_station_and_the_bytes_are_erased():
    with World() as world:
        centre, station = world.centre().start(), world.station(keep="1 ms").start()
        (record, file), (other, second) = world.records(2)
        station.submit(file)
        assert station.titip("wait", "--until", f"delivered={record}", "--timeout", "60 s").returncode == 0
        receipt = world.path / "receipt.cms"
        assert station.titip("receipt", record, "--out", receipt).returncode == 0
        opened = world.path / "opened"
        done = centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                            world.path / "recipient.pem", "--out", opened)
        assert done.returncode == 0, done.stderr
        assert opened.read_bytes() == file.read_bytes()
        until(lambda: station.state_of(record) == "erased", "the station erases what was opened")
        assert station.titip("receipt", record).stdout == receipt.read_bytes()
        assert centre.state_of(record) == "opened", "the centre never erases by itself"
        assert centre.titip("verdict", record, "print-ready").returncode == 0
        until(lambda: "print-ready" in station.show(record)["verdicts"], "the verdict arrives")
        # A wrong key says so and gives no verdict.
        station.submit(second)
        station.titip("wait", "--until", f"delivered={other}", "--timeout", "60 s")
        done = centre.titip("open", other, "--key", world.path / "station.key", "--certificate", world.path / "station.pem")
        assert done.returncode == 1
        assert centre.show(other)["verdicts"] == []


def test_statements_verify_offline_and_with_openssl():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.titip("wait", "--until", f"delivered={record}", "--timeout", "60 s")
        receipt = world.path / "receipt.cms"
        station.titip("receipt", record, "--out", receipt)
        centre.kill()
        station.kill()
        done = run(BIN / "titip", "verify", receipt, "--authorities", world.path / "root.pem", "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["kind"], said["id"], said["signer"]) == ("receipt", record, "centre")
        done = run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", receipt, "-CAfile",
                   world.path / "root.pem", "-purpose", "any", "-out", world.path / "statement")
        assert done.returncode == 0, done.stderr
        data = bytearray(receipt.read_bytes())
        data[len(data) // 2] ^= 1
        receipt.write_bytes(data)
        assert run(BIN / "titip", "verify", receipt, "--authorities", world.path / "root.pem").returncode == 1


def test_an_envelope_opens_with_openssl_and_gives_the_protobuf_back():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.titip("wait", "--until", f"delivered={record}", "--timeout", "60 s")
        status, _, sealed = centre.http("GET", f"/v1/records/{record}/envelope")
        assert status == 200
        (world.path / "sealed").write_bytes(sealed)
        done = run("openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", world.path / "sealed", "-recip",
                   world.path / "escrow.pem", "-inkey", world.path / "escrow.key", "-out", world.path / "plain")
        assert done.returncode == 0, done.stderr
        plain = (world.path / "plain").read_bytes()
        assert plain.endswith(file.read_bytes())
        assert uuid.UUID(record).bytes in plain[:40] and harness.STATION.encode() in plain[:80]


def test_bad_configurations_say_file_key_and_what_to_do_and_touch_no_store():
    with World() as world:
        world.station()
        file = world.path / "station.toml"
        good = file.read_text()
        cases = [
            (good.replace("quota =", "qota ="), "[node] qota", "quota"),
            (good.replace("[upstream]", "[upstraem]"), "[upstraem]", "[upstream]"),
            (good.replace('quota = "4 GiB"', "quota = 4"), "[node] quota", "in quotes"),
            (good.replace('quota = "4 GiB"', 'quota = "4 giga"'), "[node] quota", "64 GiB"),
            (good.replace(f"{world.path}/root.pem", f"{world.path}/none.pem"), "none.pem", "[identity] authorities"),
            (good.replace(f"{world.path}/station.key", f"{world.path}/centre.key"), "station.pem", "[identity]"),
            (good.replace(harness.STATION, "another-name"), "another-name", "[node] name"),
            (good + "\n[listen\n", "line", "titip"),
            (good.replace(f'"{world.path}/station"', f'"{world.path}/none/deep"'), "[node] state", "correct the path"),
            (good.replace("station.sock", "none/station.sock"), "[control] socket", "correct the path"),
            (good.replace("escrow.pem", "station.key"), "station.key", "[seal] recipients"),
            (good.replace("escrow.pem", "recipient.pem"), "same certificate", "[seal] recipients"),
            (good + '\n[retention]\nkeep = "0 s"\n', "[retention] keep", "30 days"),
            (good.split("[upstream]")[0], "[seal]", "[upstream] url"),
            *((good + f'\n[listen]\naddress = "{address}"\n', "[listen] address", "ADDRESS:PORT")
              for address in ("8443", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536")),
        ]
        for text, where, advice in cases:
            file.write_text(text)
            # At a start a path that leads nowhere is no reason to end: see birth_test.
            for arguments in (["--check"], ["--create"] if "none/deep" in text else []):
                done = run(BIN / "titipd", "--config", file, *arguments, timeout=20)
                assert done.returncode == 1, (where, done)
                message = done.stderr.decode()
                assert message.count("\n") == 1 and where in message and advice in message, message
                assert str(world.path) in message, message
            assert not (world.path / "station" / "data.mdb").exists()
        file.write_text(good)
        assert world.nodes[0].create().returncode == 0
        done = run(BIN / "titipd", "--config", file, "--check")
        assert done.returncode == 0 and not done.stderr, done
        done = run(BIN / "titipd", "--config", world.path / "nowhere.toml")
        assert done.returncode == 1 and b"nowhere.toml" in done.stderr and b"--config" in done.stderr, done
        file.write_text(good.replace('operate = "', 'operate = "no-such-'))
        (world.path / "station.key").chmod(0o644)
        done = run(BIN / "titipd", "--config", file, "--check")
        warnings = done.stderr.decode().splitlines()
        assert done.returncode == 0 and len(warnings) == 2, done
        assert "[identity] key" in warnings[0] and "[control] operate" in warnings[1], warnings


def test_a_state_directory_has_one_daemon():
    with World() as world:
        station = world.station().start()
        text = (world.path / "station.toml").read_text().replace("station.sock", "second.sock")
        (world.path / "second.toml").write_text(text)
        done = run(BIN / "titipd", "--config", world.path / "second.toml", timeout=20)
        assert done.returncode == 1 and b"in use by another titipd" in done.stderr, done.stderr
        assert station.titip("status").returncode == 0


def test_systemd_hears_of_readiness_status_and_a_living_watchdog():
    with World() as world:
        heard = world.path / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(heard))
            notify.settimeout(20)
            world.station()
            station = world.nodes[0]
            # systemd names the process that it watches in WATCHDOG_PID: our child, not us.
            station.start(environment={"NOTIFY_SOCKET": str(heard), "WATCHDOG_USEC": "300000"})
            said = set()
            while not {"READY=1", "WATCHDOG=1"} <= said or not any(s.startswith("STATUS=") for s in said):
                said.add(notify.recv(4096).decode())
            assert "STATUS=0 waiting" in " ".join(said), said
            os.kill(station.process.pid, signal.SIGHUP)
            while "RELOADING=1" not in said:
                said.add(notify.recv(4096).decode())
            assert station.stop() == 0
            while "STOPPING=1" not in said:
                said.add(notify.recv(4096).decode())


def test_systemd_takes_the_unit_and_finds_it_confined():
    with World() as world:
        unit = world.path / "titipd.service"
        unit.write_text((harness.SOURCE / "systemd/titipd.service").read_text()
                        .replace("/usr/bin/titipd", str(BIN / "titipd"))
                        .replace("/usr/share/doc/titip", str(harness.SOURCE / "docs")))
        done = run("systemd-analyze", "verify", unit)
        assert done.returncode == 0 and not done.stderr, done
        done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)  # tenths
        assert done.returncode == 0, done.stdout.decode()


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
