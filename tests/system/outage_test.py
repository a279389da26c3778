"""Every way in which the upstream can be away: the right verdict by layer, accepting goes on, and
after recovery everything drains without help."""

import contextlib
import socket
import ssl
import sys
import time

import harness
from harness import Server, World, run, start_late, until


@contextlib.contextmanager
def away(world, cause, expected):
    """A station whose upstream fails by `cause` (a server at its port, or None): it must say so, go on
    accepting, and drain when the real centre is there."""
    station = world.station().start()
    records = world.records(3)
    for record, file in records[:2]:
        assert station.submit(file).returncode == 0
    link = until(lambda: (link := station.link())["verdict"] == expected and link, f"verdict {expected}, not {station.link()}")
    assert not link["up"] and link["next_check_ms"] > link["last_checked_ms"] >= link["since_ms"], link
    assert station.submit(records[2][1]).returncode == 0, "accepting goes on"
    words = station.titip("status").stdout.decode()
    assert "3 records" in words and "safe on this machine" in words and "Next check" in words, words
    yield station
    if cause:
        cause.close()
    centre = world.centre()
    start_late(centre)
    station.http("POST", "/v1/link/probe")
    station.wait_drained()
    assert {r["state"] for r in station.list()} == {"delivered"}
    events = [e["event"] for e in station.json("events")]
    assert events.count("outage-began") == events.count("outage-ended") >= 1, events


def tls(world, answer, name="centre"):
    """A server with a certificate of ours, or a stranger's, that answers every request with `answer`."""
    context = world.server_context(name)

    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = secure.recv(65536)
                    if not piece:
                        return
                    data += piece
                secure.sendall(answer)

    return Server(handle, world.port)


def http(status, body=b"", *fields):
    head = f"HTTP/1.1 {status} Test\r\n" + "".join(f"{f}\r\n" for f in fields)
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_refusing():
    with World() as world, away(world, None, "tcp"):
        pass


def test_black_hole():
    # Takes the connection and never says a word.
    with World() as world:
        server = Server(lambda connection: connection.recv(1 << 20) and time.sleep(600), world.port)
        with away(world, server, "tls"):
            pass


def test_tls_with_a_foreign_authority():
    with World() as world:
        world.issue("foreign", "URI:titip:centre,DNS:localhost,IP:127.0.0.1", authority="stranger")
        with away(world, tls(world, http(200), "foreign"), "tls") as station:
            assert "certificate" in station.link()["detail"], station.link()


def test_a_station_cannot_play_the_centre():
    with World() as world:
        world.issue("other", "URI:titip:station:other,DNS:localhost,IP:127.0.0.1")
        with away(world, tls(world, http(200), "other"), "tls"):
            pass


def test_portal_with_an_html_page():
    page = http(200, b"<html>Please log in</html>", "Content-Type: text/html")
    with World() as world, away(world, tls(world, page), "portal"):
        pass


def test_portal_without_tls():
    with World() as world:
        page = http(200, b"<html>Please log in</html>", "Content-Type: text/html")
        server = Server(lambda connection: connection.recv(65536) and connection.sendall(page), world.port)
        with away(world, server, "tls"):
            pass


def test_maintenance_and_retry_after_is_obeyed():
    with World() as world:
        seen = []
        context = world.server_context()

        def handle(connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                while asked := secure.recv(65536):
                    if asked.startswith(b"GET /v1/node"):  # what comes along with it is not asked again
                        seen.append(time.monotonic())
                    secure.sendall(http(503, b"", "Retry-After: 7"))

        with away(world, Server(handle, world.port), "maintenance") as station:
            link = station.link()
            assert link["next_check_ms"] - link["last_checked_ms"] >= 6900, link
            until(lambda: len(seen) >= 2, "it asks again")
            assert seen[1] - seen[0] >= 6.9, seen


def test_401():
    with World() as world, away(world, tls(world, http(401)), "auth"):
        pass


def test_our_certificate_is_refused():
    with World() as world:
        context = world.server_context()
        world.issue("stranger-root", "DNS:nobody", authority="stranger")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(world.path / "centre.pem", world.path / "centre.key")
        context.load_verify_locations(world.path / "stranger.pem")
        context.verify_mode = ssl.CERT_REQUIRED

        def handle(connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)

        with away(world, Server(handle, world.port), "auth"):
            pass


def test_name_that_does_not_resolve():
    with World() as world:
        station = world.station(host="no-such-host.invalid").start()
        link = until(lambda: (link := station.link())["verdict"] == "dns" and link, "verdict dns")
        assert not link["up"]
        (record, file), = world.records(1)
        assert station.submit(file).returncode == 0


def test_stops_within_five_seconds_in_a_name_look_up_without_an_answer():
    """resolv.conf names a server that takes questions and never answers, in a mount namespace of ours."""
    if run("unshare", "-m", "--propagation", "private", "true").returncode != 0:
        raise harness.Skipped("no mount namespace of its own here (not root, or in a chroot)")
    with World() as world, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.77", 53))
        silent.settimeout(20)
        resolv = world.path / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")
        world.station(host="titip.example")
        station = world.nodes[0]
        script = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
        station.start(before=["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"])
        silent.recv(4096)
        started = time.monotonic()
        assert station.stop() == 0
        assert time.monotonic() - started < 5


def test_stops_within_five_seconds_in_the_middle_of_a_transfer():
    with World() as world:
        centre = world.centre().start()

        def slow(connection):
            with socket.create_connection(("127.0.0.1", world.port)) as server:
                import threading

                def back():
                    with contextlib.suppress(OSError):
                        while piece := server.recv(65536):
                            connection.sendall(piece)

                threading.Thread(target=back, daemon=True).start()
                while piece := connection.recv(2048):
                    server.sendall(piece)
                    time.sleep(0.05)

        with Server(slow) as proxy:
            station = world.station(port=proxy.port).start()
            for _, file in world.records(3, size_bytes=1_000_000):
                station.submit(file)
            until(lambda: station.link().get("in_flight", 0) > 0, "a transfer is under way")
            for node in (station, centre):
                started = time.monotonic()
                assert node.stop() == 0, node.name
                assert time.monotonic() - started < 5, node.name
        # And what had come to the centre is not sent again blindly: it all arrives once.
        centre.start()
        world.station(port=world.port)
        station.start()
        station.wait_drained()
        assert len(centre.list("--state", "delivered")) == 3


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
