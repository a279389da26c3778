"""Peers and local users that press at the wrong moment, announce nonsense, or take up room: nobody
else is disturbed, and nothing of theirs stays."""

import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time

import harness
from harness import BIN, STATION, World, connected, exchange, read_answer, run, until

TUS = [("Tus-Resumable", "1.0.0")]
BODY = TUS + [("Content-Type", "application/offset+octet-stream")]


def sealed_record(world, size_bytes=300_000, seed=1):
    """An envelope and its manifest as a station sends them, and the centre empty again."""
    centre, station = world.centre().start(), world.station().start()
    (record, file), = world.records(1, size_bytes=size_bytes, seed=seed)
    station.submit(file)
    station.wait_drained()
    _, _, envelope = centre.http("GET", f"/v1/records/{record}/envelope")
    with connected(world) as secure:
        _, fields, _ = exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=TUS)
    station.stop()
    centre.kill()
    run("rm", "-r", world.path / "centre", world.path / "station")
    return record, envelope, [("Upload-Length", str(len(envelope))), ("Upload-Metadata", fields["upload-metadata"])]


def test_one_record_offered_on_many_connections_at_once_is_taken_once():
    with World() as world:
        for attempt in range(3):
            record, envelope, offer = sealed_record(world, seed=attempt)
            centre = world.centre().start()
            answers = []
            ready = threading.Barrier(12)

            def push():
                with connected(world) as secure:
                    ready.wait()
                    with contextlib.suppress(OSError):  # taken over by another
                        answers.append(exchange(secure, "POST", f"/v1/uploads/{STATION}", envelope, BODY + offer))

            pushing = [threading.Thread(target=push) for _ in range(12)]
            for each in pushing:
                each.start()
            for each in pushing:
                each.join()
            assert centre.process.poll() is None, "the centre is alive"
            assert {status for status, _, _ in answers} <= {201, 503}, answers
            # However that went, one more offer brings it in, and all receipts are the same.
            with connected(world) as secure:
                status, fields, _ = exchange(secure, "POST", f"/v1/uploads/{STATION}", b"", BODY + offer)
                assert status == 201, status
                if (offset := int(fields["upload-offset"])) < len(envelope):
                    status, fields, _ = exchange(secure, "PATCH", f"/v1/uploads/{STATION}/{record}", envelope[offset:],
                                                 BODY + [("Upload-Offset", str(offset))])
            receipts = {given["titip-receipt"] for _, given, _ in answers if "titip-receipt" in given}
            assert receipts <= {fields["titip-receipt"]}
            assert [e["event"] for e in centre.json("events") if e.get("id") == record].count("accepted") == 1
            centre.stop()


def test_an_announced_length_that_wraps_is_refused():
    with World() as world:
        record, envelope, offer = sealed_record(world)
        centre = world.centre().start()
        with connected(world) as secure:
            status, _, _ = exchange(secure, "POST", f"/v1/uploads/{STATION}", envelope[:1000], BODY + offer)
            assert status == 201
        with connected(world) as secure:
            status, fields, _ = exchange(secure, "PATCH", f"/v1/uploads/{STATION}/{record}", b"",
                                         BODY + [("Upload-Offset", "1000")], content_length=2**64 - 500)
            assert status == 409 and fields["upload-offset"] == "1000", (status, fields)
            assert secure.recv(1) == b"", "and the connection ends"
        with connected(world) as secure:
            status, _, _ = exchange(secure, "PATCH", f"/v1/uploads/{STATION}/{record}", envelope[1000:],
                                    BODY + [("Upload-Offset", "1000")])
            assert status == 204
        assert centre.state_of(record) == "delivered"


def test_a_reconcile_that_names_too_much_is_refused():
    empty_kept_range = b"\x1a\x00"
    with World() as world:
        world.centre().start()
        with connected(world) as secure:
            status, _, body = exchange(secure, "POST", "/v1/reconcile", empty_kept_range * 1000)
            assert status == 200, (status, body)
            status, _, body = exchange(secure, "POST", "/v1/reconcile", empty_kept_range * 1001)
            assert status == 400 and b"too many" in body, (status, body)


def test_stopping_commits_what_came_and_waits_for_no_peer():
    with World() as world:
        record, envelope, offer = sealed_record(world)
        centre = world.centre().start()
        with connected(world) as idle, connected(world) as waiting, connected(world) as sending:
            idle.sendall(b"")
            waiting.sendall(b"GET /v1/node?after=0 HTTP/1.1\r\nHost: t\r\n\r\n")
            fields = "".join(f"{name}: {value}\r\n" for name, value in BODY + offer)
            sending.sendall(f"POST /v1/uploads/{STATION} HTTP/1.1\r\nHost: t\r\n{fields}"
                            f"Content-Length: {len(envelope)}\r\n\r\n".encode() + envelope[:100_000])
            time.sleep(0.5)  # so that it is in the middle of the body
            assert centre.stop() == 0
            assert read_answer(waiting)[0] == 200, "who waited for news is told"
        assert "parts behind" not in centre.log(), "and nobody was left behind"
        centre.start()
        with connected(world) as secure:
            _, fields, _ = exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=TUS)
            assert int(fields["upload-offset"]) == 100_000, fields


def test_those_who_never_shake_hands_take_no_places():
    limit = 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with World() as world, contextlib.ExitStack() as silent:
        centre = world.centre().start()
        for _ in range(1500):
            silent.enter_context(socket.create_connection(("127.0.0.1", world.port)))
        station = world.station().start()
        (_, file), = world.records(1)
        station.submit(file)
        station.wait_drained(limit_s=60)
        assert len(centre.list("--state", "delivered")) == 1


def test_a_peer_has_so_many_connections_and_a_newer_one_displaces_the_oldest():
    with World() as world, contextlib.ExitStack() as open_ones:
        world.centre().start()
        all_ = []
        for _ in range(40):
            all_.append(open_ones.enter_context(connected(world)))
            assert exchange(all_[-1], "GET", "/v1/node")[0] == 200  # so that the next is the newer one
        for each in all_[-32:]:
            assert exchange(each, "GET", "/v1/node")[0] == 200
        for each in all_[:8]:
            each.settimeout(20)
            with contextlib.suppress(ConnectionError):
                assert each.recv(1) == b""


def test_local_users_without_a_role_take_no_places():
    hold = ("import socket, sys, time\n"
            "held = []\n"
            "for _ in range(200):\n"
            "    held.append(socket.socket(socket.AF_UNIX)); held[-1].connect(sys.argv[1])\n"
            "print('holding', flush=True)\n"
            "time.sleep(600)\n")
    with World() as world:
        station = world.station().start()
        (_, file), = world.records(1)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        with subprocess.Popen([*nobody, sys.executable, "-c", hold, str(station.socket)], stdout=subprocess.PIPE) as holding:
            try:
                assert holding.stdout.readline() == b"holding\n"
                done = run("timeout", "60", BIN / "titip", "--socket", station.socket, "submit", file)
                assert done.returncode == 0, done
                refused = run(*nobody, "timeout", "60", BIN / "titip", "--socket", station.socket, "status")
                assert refused.returncode in (3, 4), refused
            finally:
                holding.kill()
        refused = until(lambda: (r := run(*nobody, BIN / "titip", "--socket", station.socket, "status")).returncode == 4 and r,
                        "a stranger is told why")
        assert b"membership in the group" in refused.stderr, refused.stderr


def test_an_id_in_upper_case_is_the_same_id():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.wait_drained()
        done = centre.titip("open", record.upper(), "--key", world.path / "recipient.key",
                            "--certificate", world.path / "recipient.pem")
        assert done.returncode == 0, done
        assert centre.state_of(record) == "opened"


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
