"""Who is believed at this moment: certificates that end, authorities that go, machines that are stolen, relays that may
do one region only. What is decided at the handshake holds for resumed sessions and standing connections too."""

import base64
import datetime
import hashlib
import json
import signal
import socket
import ssl
import sys

import harness
from harness import BIN, STATION, World, connected, exchange, free_port, run, until

OFFICE = f"URI:titip:station:{STATION}"
CENTRE = "URI:titip:centre,DNS:localhost,IP:127.0.0.1"


def reload(node):
    before = node.log().count("reloaded")
    node.process.send_signal(signal.SIGHUP)
    until(lambda: node.log().count("reloaded") > before, f"{node.name} has read its files again")


def openssl_ca(world, *arguments, authority="root"):
    """`openssl ca` over a database in the world's folder: end dates to the second, and lists of what is revoked."""
    config = world.path / "ca.cnf"
    if not config.exists():
        config.write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\nnew_certs_dir=.\nserial=ca.srl\n"
                          "default_md=sha256\ndefault_crl_days=30\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n")
        (world.path / "index.txt").write_text("")
        (world.path / "crlnumber").write_text("01\n")
        (world.path / "ca.srl").write_text("1000\n")
    done = run("openssl", "ca", "-batch", "-config", config, "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key",
               *arguments, cwd=world.path)
    assert done.returncode == 0, done.stderr.decode()


def crl_of(world, *names):
    """The authority's list, in which these are revoked now."""
    for name in names:
        openssl_ca(world, "-revoke", f"{name}.pem")
    openssl_ca(world, "-gencrl", "-out", "crl.pem")
    return (world.path / "crl.pem").read_text()


def end_in(world, name, names, seconds):
    """A certificate that ends so soon."""
    world.issue(name, names)
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    openssl_ca(world, "-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.pem", "-notext",
               "-enddate", end.strftime("%Y%m%d%H%M%SZ"))


def fingerprint(world, name):
    der = ssl.PEM_cert_to_DER_cert((world.path / f"{name}.pem").read_text())
    return hashlib.sha256(der).hexdigest()


def der_parts(data):
    """The elements of a DER SEQUENCE's content, each whole."""
    out = []
    while data:
        size, head = data[1], 2
        if size & 0x80:
            head += size & 0x7f
            size = int.from_bytes(data[2:head], "big")
        out.append((data[:head + size], data[head:head + size]))
        data = data[head + size:]
    return out


def der_of(tag, content):
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x80 + (size.bit_length() + 7) // 8]) + size.to_bytes(
        (size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


def make_twin(world, name, twin):
    """The same certificate with n - s in place of s in its signature: as good, and with another fingerprint."""
    order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551  # of P-256
    (_, whole), = der_parts(ssl.PEM_cert_to_DER_cert((world.path / f"{name}.pem").read_text()))
    (signed, _), (kind, _), (_, bits) = der_parts(whole)
    (_, pair), = der_parts(bits[1:])
    (r, _), (_, s) = der_parts(pair)
    other = order - int.from_bytes(s, "big")
    s = der_of(2, other.to_bytes(other.bit_length() // 8 + 1, "big"))
    made = der_of(0x30, signed + kind + der_of(3, b"\0" + der_of(0x30, r + s)))
    (world.path / f"{twin}.pem").write_text(ssl.DER_cert_to_PEM_cert(made))
    (world.path / f"{twin}.key").write_bytes((world.path / f"{name}.key").read_bytes())


def shut_out(world, node, text):
    """What its file of [identity] revoked says; the file is named in the configuration from the next start on."""
    file = world.path / f"{node.name}-revoked.pem"
    file.write_text(text)
    if "revoked =" not in node.config.read_text():
        node.config.write_text(node.config.read_text().replace("authorities =", f'revoked = "{file}"\nauthorities ='))
    return file


def own_authorities(world, node, *names):
    file = world.path / f"{node.name}-believes.pem"
    file.write_text("".join((world.path / f"{each}.pem").read_text() for each in names))
    node.config.write_text(node.config.read_text().replace(f'"{world.path}/root.pem"', f'"{file}"'))


def asked(stream, method="GET", target="/v1/node", headers=(), body=b""):
    """The status, or 0 where the connection has ended."""
    try:
        return exchange(stream, method, target, body, headers)[0]
    except (ConnectionError, ssl.SSLError, OSError):
        return 0


def is_let_in(world, name="station"):
    try:
        with connected(world, name) as stream:
            return asked(stream) == 200
    except (ConnectionError, ssl.SSLError, OSError):
        return False


def count(node, state):
    return node.status()["records"][state]["records"]


def submit(node, records):
    for _, file in records:
        assert node.submit(file).returncode == 0


def check(node):
    return run(BIN / "titipd", "--config", node.config, "--check")


def other_station(world, port=None):
    if not (world.path / "other.pem").exists():
        world.issue("other", "URI:titip:station:kab-karimun-04")
    world.config("other", "kab-karimun-04",
                 f'[seal]\nrecipients = ["{world.path}/recipient.pem", "{world.path}/escrow.pem"]\n\n'
                 f'[upstream]\nurl = "https://localhost:{port or world.port}"\nconnections = 2\n')
    return world._node("other")


def relay(world, name, port):
    world.issue(name, f"URI:titip:relay:{name},DNS:localhost,IP:127.0.0.1")
    world.config(name, name, f'[listen]\naddress = "127.0.0.1:{port}"\n\n'
                             f'[upstream]\nurl = "https://localhost:{world.port}"\nconnections = 2\n')
    return world._node(name)


# --- what ends while a connection stands

def test_a_certificate_that_ends_ends_its_connections_and_its_tickets():
    with World() as world:
        world.centre().start()
        end_in(world, "brief", OFFICE, 10)
        context = world.client_context("brief")

        def connect(session=None):
            raw = socket.create_connection(("127.0.0.1", world.port))
            stream = context.wrap_socket(raw, server_hostname="localhost", session=session)
            stream.settimeout(20)
            return stream

        with connect() as standing, connect() as first:
            assert asked(standing) == 200 and asked(first) == 200
            ticket = first.session  # of TLS 1.3: it came with the answer
            with connect(ticket) as again:
                assert asked(again) == 200 and again.session_reused
                ticket = again.session
            until(lambda: asked(standing) in (401, 0), "the standing connection ends with the certificate", 30)
            try:
                with connect(ticket) as again:
                    assert asked(again) == 0 and not again.session_reused, "a ticket lets it in"
            except (ConnectionError, ssl.SSLError):
                pass


def test_sighup_changes_certificate_and_authorities_for_connections_that_stand_too():
    with World() as world:
        world._authority("new")
        world.issue("renewed", OFFICE, "new")
        centre = world.centre()
        own_authorities(world, centre, "root", "new")
        centre.start()
        with connected(world) as old, connected(world, "renewed") as new, connected(world) as waiting:
            assert asked(old) == asked(new) == asked(waiting) == 200
            waiting.sendall(b"GET /v1/node?after=999 HTTP/1.1\r\nHost: test\r\n\r\n")
            serial = run("openssl", "x509", "-in", world.path / "centre.pem", "-noout", "-serial").stdout
            world.issue("centre", CENTRE, "root")
            own_authorities(world, centre, "new", "root")
            reload(centre)  # nothing that was believed is not believed now
            with connected(world) as fresh:
                shown = ssl.DER_cert_to_PEM_cert(fresh.getpeercert(True))
            assert run("openssl", "x509", "-noout", "-serial", input=shown.encode()).stdout != serial
            assert asked(old) == asked(new) == 200
            (world.path / "centre-believes.pem").write_text((world.path / "new.pem").read_text())
            reload(centre)
            assert harness.read_answer(waiting)[0] == 401, "who waits is told at once"
            assert asked(old) in (401, 0) and asked(new) == 200
        assert not is_let_in(world) and is_let_in(world, "renewed")


def test_a_station_asks_nothing_more_of_an_upstream_whose_authority_it_was_told_to_forget():
    with World() as world:
        world._authority("new")
        centre, station = world.centre().start(), world.station()
        own_authorities(world, station, "root")
        station.start()
        first, second = world.records(2, size_bytes=20_000)
        submit(station, [first])
        station.wait_drained()
        (world.path / "station-believes.pem").write_text((world.path / "new.pem").read_text())
        reload(station)
        until(lambda: station.link()["verdict"] == "tls", "it finds that the upstream is not to be believed")
        submit(station, [second])
        assert count(station, "waiting") == 1
        assert count(centre, "delivered") == 1, "a record went to it over a connection from before"
        (world.path / "station-believes.pem").write_text((world.path / "root.pem").read_text())
        reload(station)
        station.wait_drained()
        assert count(station, "delivered") == 2 and count(station, "quarantined") == 0


# --- who is shut out

def test_what_a_list_revokes_is_shut_out_at_once_and_for_good():
    with World() as world:
        centre = world.centre()
        file = shut_out(world, centre, "# nobody yet\n")
        centre.start()
        station, honest = world.station().start(), other_station(world).start()
        mine, theirs = world.records(2, size_bytes=20_000), world.records(4, size_bytes=20_000, seed=2)
        submit(station, mine[:1])
        submit(honest, theirs[:2])
        station.wait_drained()
        with connected(world) as standing:
            assert asked(standing) == 200
            file.write_text(crl_of(world, "station"))
            reload(centre)
            assert asked(standing) in (401, 0)
        submit(station, mine[1:])
        until(lambda: station.link()["verdict"] == "auth", "the station is told that it is the certificate")
        submit(honest, theirs[2:])
        honest.wait_drained()
        assert count(honest, "delivered") == 4 and count(station, "waiting") == 1
        assert count(centre, "delivered") == 5, "what it holds stays"
        assert "revoked" in centre.titip("status").stdout.decode()
        until(lambda: centre.json("revoked")[0]["kept"], "it is kept")
        file.write_text("")  # a later list that lacks it
        reload(centre)
        assert not is_let_in(world)
        centre.stop()
        centre.start()
        assert not is_let_in(world), "a start has forgotten it"
        mark = fingerprint(world, "station")
        assert centre.titip("unrevoke", "00" * 32, "--reason", "x").returncode == 5
        assert centre.titip("unrevoke", mark, "--reason", "found in a cupboard").returncode == 0
        assert is_let_in(world)
        station.titip("resume")
        station.wait_drained()
        events = [(e["event"], e["detail"]) for e in centre.json("events") if "revoked" in e["event"]]
        assert [each for each, _ in events] == ["revoked", "unrevoked"] and mark in events[0][1], events
        assert "found in a cupboard" in events[1][1], events


def test_a_fingerprint_is_kept_and_a_name_holds_as_long_as_it_is_listed():
    with World() as world:
        centre = world.centre()
        file = shut_out(world, centre, f"{STATION}\n")
        centre.start()
        other_station(world)
        assert not is_let_in(world) and is_let_in(world, "other")
        world.issue("station", OFFICE)
        assert not is_let_in(world), "a new key of the name"
        file.unlink()  # by mistake: nobody is let in by that, of what is not kept either
        reload(centre)
        assert not is_let_in(world)
        file.write_text(f"relay:{STATION}\n")
        reload(centre)
        assert is_let_in(world), "it is no relay"
        colons = ":".join(fingerprint(world, "station")[i:i + 2] for i in range(0, 64, 2)).upper()
        other = fingerprint(world, "other")
        file.write_text(f"sha256 Fingerprint={colons}\n{other}\n")
        reload(centre)
        until(lambda: other in centre.titip("revoked").stdout.decode(), "one that has not come since is kept too")
        assert not is_let_in(world)
        make_twin(world, "station", "twin")
        assert fingerprint(world, "twin") != fingerprint(world, "station") and not is_let_in(world, "twin")
        done = centre.titip("unrevoke", colons, "--reason", "x")
        assert done.returncode == 6 and b"still name it" in done.stderr, done
        file.unlink()  # by mistake: nobody is let in by that
        reload(centre)
        assert not is_let_in(world)
        assert "ALARM: [identity] revoked" in centre.titip("status").stdout.decode()
        file.write_text("")
        reload(centre)
        assert not is_let_in(world), "a fingerprint stays"
        assert not is_let_in(world, "twin")
        assert centre.titip("unrevoke", colons, "--reason", "a mistake").returncode == 0
        assert is_let_in(world) and is_let_in(world, "twin")


def test_what_a_stolen_key_signed_is_refused_by_its_records_and_only_if_it_is_new():
    with World() as world:
        port = free_port()
        centre, hub = world.centre(), relay(world, "hub", port)
        file = shut_out(world, centre, "")
        centre.start()
        hub.start()
        station, honest = world.station(port=port).start(), other_station(world, port).start()
        mine, theirs = world.records(3, size_bytes=20_000), world.records(2, size_bytes=20_000, seed=2)
        submit(station, mine[:1])
        until(lambda: count(centre, "delivered") == 1, "the first arrives")
        file.write_text(fingerprint(world, "station") + "\n")
        reload(centre)
        submit(station, mine[1:])
        submit(honest, theirs)
        until(lambda: count(hub, "quarantined") == 2 and count(centre, "delivered") == 3, "each by itself")
        assert {each["reason"] for each in hub.list("--state", "quarantined")} == {"revoked"}
        assert count(hub, "waiting") == 0
        until(lambda: hub.link()["verdict"] == "ok", "it is no fault of the link")
        # The centre finds that it was the wrong one.
        file.write_text("")
        reload(centre)
        assert centre.titip("unrevoke", fingerprint(world, "station"), "--reason", "the other machine").returncode == 0
        assert hub.titip("retry", "--reason", "revoked").returncode == 0
        until(lambda: count(centre, "delivered") == 5, "nothing was lost")


def test_what_is_not_understood_in_a_file_of_trust_fails_the_check_and_stops_nothing():
    with World() as world:
        centre, station = world.centre(), world.station()
        crl = crl_of(world, "station")
        world._authority("foreign")
        root = (world.path / "root.pem").read_text()
        believes = world.path / "centre-believes.pem"
        own_authorities(world, centre, "root")
        file = shut_out(world, centre, "")
        centre.create()
        good = check(centre)
        assert good.returncode == 0, good.stderr.decode()
        for text, why in ((root + crl, b"a revocation list (CRL), which belongs into"),
                          (root + root[:len(root) // 2], b"cut in two"),
                          (root + (world.path / "station.pem").read_text(), b"is no certificate of an authority"),
                          (root + (world.path / "station.key").read_text(), b"which is no certificate")):
            believes.write_text(text)
            done = check(centre)
            assert done.returncode == 1 and why in done.stderr, (why, done.stderr)
        believes.write_text(root)
        openssl_ca(world, "-gencrl", "-out", "foreign.pem", authority="foreign")
        der = run("openssl", "crl", "-in", world.path / "crl.pem", "-outform", "DER").stdout
        for data, why in ((crl[:200].encode(), b"cut in two"), (root.encode(), b"no revocation list"),
                          ((world.path / "foreign.pem").read_bytes(), b"none of [identity] authorities"),
                          (b"Kab Karimun\n", b"neither a node's name nor a fingerprint"), (der, b"DER")):
            file.write_bytes(data)
            done = check(centre)
            assert done.returncode == 1 and why in done.stderr, (why, done.stderr)
        file.unlink()
        assert check(centre).returncode == 1
        # It starts, with what it understood, and says so.
        file.write_text(f"Kab Karimun\n{crl}")
        believes.write_text(root + crl)
        centre.start()
        said = centre.titip("status").stdout.decode()
        assert "ALARM: [identity] revoked" in said and "ALARM: [identity] authorities" in said, said
        other_station(world)
        assert is_let_in(world, "other") and not is_let_in(world)
        believes.write_text(root)
        file.write_text(crl)
        reload(centre)
        assert "ALARM" not in centre.titip("status").stdout.decode()


def test_an_authority_that_is_revoked_takes_with_it_what_it_issued():
    with World() as world:
        world.issue("below", "DNS:below")
        (world.path / "below.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                                              "subjectKeyIdentifier=hash\n")
        world._openssl("x509", "-req", "-in", "below.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                       "-days", "30", "-extfile", "below.ext", "-out", "below.pem")
        world.issue("station", OFFICE, "below")
        centre = world.centre()
        own_authorities(world, centre, "root", "below")
        file = shut_out(world, centre, "")
        centre.start()
        with connected(world) as standing:
            assert asked(standing) == 200
            file.write_text(crl_of(world, "below"))
            reload(centre)
            assert asked(standing) in (401, 0)
        assert not is_let_in(world)


# --- docs/operating.md, "A machine is stolen"

def test_a_machine_is_stolen_and_the_chapter_is_followed():
    with World() as world:
        centre = world.centre()
        file = shut_out(world, centre, "# titip: who is shut out\n")
        centre.start()
        thief, honest = world.station().start(), other_station(world).start()
        taken = world.records(3, size_bytes=20_000)
        submit(thief, taken[:2])
        thief.wait_drained()
        # 1. The call: what is known of that machine, and its certificate's fingerprint.
        listed = centre.list("--state", "delivered")
        assert len(listed) == 2 and {each["station"] for each in listed} == {STATION}
        # 2. Shut out the name at once, and its certificate for good.
        file.write_text(file.read_text() + f"{STATION}   # stolen on 2026-11-30\n{fingerprint(world, 'station')}\n")
        assert check(centre).returncode == 0, check(centre).stderr
        reload(centre)
        # 3. Look.
        kept, = until(lambda: centre.json("revoked")[0]["kept"], "it is kept")
        assert kept["certificate"] == fingerprint(world, "station")
        submit(thief, taken[2:])
        until(lambda: thief.link()["verdict"] == "auth", "the machine is told no")
        until(lambda: centre.status()["refused_peers"]["revoked"]["names"] == [STATION], "and the centre says who came")
        # 4. A new machine with a new key, under the name; the name comes off the list, the fingerprint stays.
        thief.stop()
        old = {each: (world.path / f"station.{each}").read_bytes() for each in ("pem", "key")}
        world.issue("station", OFFICE)
        file.write_text(f"# {STATION} stolen on 2026-11-30\n{hashlib_of(old['pem'])}\n")
        reload(centre)
        fresh = world.station(state=world.path / "new-machine").start()
        again = world.records(2, size_bytes=20_000, seed=3)
        submit(fresh, again)
        fresh.wait_drained()
        assert count(fresh, "delivered") == 2 and count(centre, "delivered") == 4
        assert honest.link()["verdict"] == "ok"
        # The thief's is shut out still, whatever the files say.
        file.write_text("")
        reload(centre)
        for each, data in old.items():
            (world.path / f"thief.{each}").write_bytes(data)
        assert not is_let_in(world, "thief") and is_let_in(world)


def hashlib_of(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


# --- what a relay may do



def test_a_relay_does_what_relays_says_and_no_more():
    with World() as world:
        centre = world.centre()
        (world.path / "centre.toml").write_text((world.path / "centre.toml").read_text() +
                                                '\n[relays]\nhub = ["kab-karimun-*"]\nidle = []\n')
        centre.start()
        world.issue("batam", "URI:titip:station:kota-batam-01")
        world.config("batam", "kota-batam-01",
                     f'[seal]\nrecipients = ["{world.path}/recipient.pem", "{world.path}/escrow.pem"]\n\n'
                     f'[upstream]\nurl = "https://localhost:{world.port}"\nconnections = 2\n')
        batam = world._node("batam").start()
        port = free_port()
        hub = relay(world, "hub", port).start()
        station = world.station(port=port).start()
        (mine, file), = world.records(1, size_bytes=20_000)
        (theirs, other), = world.records(1, size_bytes=20_000, seed=2)
        station.submit(file)
        batam.submit(other)
        batam.wait_drained()
        until(lambda: count(centre, "delivered") == 2, "its own region's goes through")
        tus = [("Tus-Resumable", "1.0.0")]
        with connected(world, "hub") as stream:
            assert asked(stream, "HEAD", f"/v1/uploads/{STATION}/{mine}", tus) == 200
            assert asked(stream, "HEAD", f"/v1/uploads/kota-batam-01/{theirs}", tus) == 404
        for method, more in (("DELETE", []), ("PATCH", [("Content-Type", "application/offset+octet-stream"),
                                                        ("Upload-Offset", "0")])):
            with connected(world, "hub") as stream:
                assert asked(stream, method, f"/v1/uploads/kota-batam-01/{theirs}", tus + more) == 404, method
        # What it offers of another region is deferred there, and told by a name: no record's fault.
        with connected(world, "hub") as stream:
            meta = base64.b64encode(b"x").decode()
            status, _, body = exchange(stream, "POST", "/v1/uploads/kota-batam-01", b"", tus + [
                ("Upload-Length", "1"), ("Upload-Metadata", f"manifest {meta}")])
            assert status == 403 and json.loads(body)["type"] == "titip:role", body
        world.issue("idle", "URI:titip:relay:idle")
        world.issue("unknown", "URI:titip:relay:unknown")
        for name, status in (("idle", 200), ("unknown", 403)):
            with connected(world, name) as stream:
                assert asked(stream, "POST", "/v1/reconcile") == status, name
        assert "ALARM" not in centre.titip("status").stdout.decode()


def test_a_relay_with_the_name_of_a_station_hears_nothing_of_it():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1, size_bytes=20_000)
        station.submit(file)
        station.wait_drained()
        assert centre.titip("open", record, "--key", world.path / "recipient.key",
                            "--certificate", world.path / "recipient.pem").returncode == 0
        world.issue("double", f"URI:titip:relay:{STATION}")
        with connected(world) as own, connected(world, "double") as stream:
            assert json.loads(exchange(own, "GET", "/v1/node")[2])["newest_verdict"] == 1
            assert json.loads(exchange(stream, "GET", "/v1/node")[2])["newest_verdict"] == 0
            mine = exchange(own, "POST", "/v1/reconcile")[2]
            status, _, told = exchange(stream, "POST", "/v1/reconcile")
        assert status == 200 and len(told) < len(mine) - 500, "it is told less: neither verdict nor custody"


def test_a_relay_that_is_let_in_again_is_not_said_to_be_refused():
    with World() as world:
        centre = world.centre()
        file = shut_out(world, centre, f"relay:{STATION}\n")
        centre.start()
        world.issue("double", f"URI:titip:relay:{STATION}")
        refused = "refused in the last day because its certificate is revoked"
        assert not is_let_in(world, "double")
        assert refused in centre.titip("status").stdout.decode()
        file.write_text("")
        reload(centre)
        assert is_let_in(world, "double")
        assert refused not in centre.titip("status").stdout.decode()


def test_without_a_table_of_relays_all_goes_on_and_it_is_said():
    with World() as world:
        centre = world.centre().start()
        assert b"[relays]: there is no such table" in check(centre).stderr and check(centre).returncode == 0
        assert "ALARM" not in centre.titip("status").stdout.decode(), "no relay has come"
        port = free_port()
        relay(world, "hub", port).start()
        station = world.station(port=port).start()
        submit(station, world.records(1, size_bytes=20_000))
        until(lambda: count(centre, "delivered") == 1, "as before")
        said = centre.titip("status").stdout.decode()
        assert "ALARM: [relays]: there is no such table, so each relay (hub) may" in said, said


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
