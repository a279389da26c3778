"""Trouble on the way and in the store, each brought about for real: cut links, lost answers, rotten
bytes, full disks, strangers. What was accepted arrives, once, and nothing else is disturbed."""

import base64
import contextlib
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import uuid

import harness
from harness import BIN, STATION, CuttingProxy, Server, World, connected, exchange, read_answer, run, until


def test_a_body_that_was_cut_goes_on_from_where_the_centre_has_it():
    with World() as world:
        centre = world.centre().start()
        with CuttingProxy(world.port) as proxy:
            station = world.station(port=proxy.port, connections=1)
            station.start()
            until(lambda: station.link()["up"], "the link is up")
            (record, file), = world.records(1, size_bytes=2_000_000)
            before = proxy.up_bytes
            proxy.cut_after_up = 1_200_000
            station.submit(file)
            station.wait_drained()
            assert proxy.cuts == 1
            sent = proxy.up_bytes - before
            size = station.show(record)["size_bytes"]
            again = sent - size
            print(f"  envelope {size}, sent {sent}: {again} bytes more, all overhead included")
            assert again <= 256 * 1024, again
            assert centre.state_of(record) == "delivered"
            assert not [e for e in centre.json("events") if e["event"] == "discarded"]


def test_a_lost_answer_to_the_last_bytes_costs_no_byte_again():
    with World() as world:
        centre = world.centre().start()
        with CuttingProxy(world.port) as proxy:
            station = world.station(port=proxy.port, connections=1).start()
            until(lambda: station.link()["up"], "the link is up")
            (record, file), = world.records(1, size_bytes=1_000_000)
            before = proxy.up_bytes
            proxy.drop_down_after = 1_000_000
            station.submit(file)
            station.wait_drained()
            assert proxy.cuts == 1
            size = station.show(record)["size_bytes"]
            again = proxy.up_bytes - before - size
            print(f"  {again} bytes beside the envelope, handshakes and reconcile included")
            assert again <= 64 * 1024, again
            assert [e["event"] for e in centre.json("events") if e.get("id") == record] == ["accepted"]


def test_many_cuts_and_everything_arrives_once():
    with World() as world:
        centre = world.centre().start()
        with CuttingProxy(world.port) as proxy:
            station = world.station(port=proxy.port).start()
            records = world.records(12, size_bytes=700_000)
            for _, file in records:
                station.submit(file)
            cuts = 0
            while station.status()["records"]["waiting"]["records"] > 0 and cuts < 8:
                cuts += 1
                proxy.cut_after_up = 150_000 + 133_337 * cuts
                until(lambda: proxy.cut_after_up is None
                      or station.status()["records"]["waiting"]["records"] == 0, "a cut, or the end")
            proxy.cut_after_up = None
            station.wait_drained()
            assert {r["id"] for r in centre.list("--state", "delivered")} == {record for record, _ in records}
            accepted = [e["id"] for e in centre.json("events") if e["event"] == "accepted"]
            assert len(accepted) == len(set(accepted)) == len(records)


def intercept(world, refuse):
    """Stands between station and centre with both their certificates, and answers for the centre
    where `refuse(record bytes)` gives an answer."""
    inside, outside = world.server_context("centre"), world.client_context("station")

    def handle(connection):
        with inside.wrap_socket(connection, server_side=True) as client, socket.create_connection(
                ("127.0.0.1", world.port)) as raw, outside.wrap_socket(raw, server_hostname="localhost") as server:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    piece = client.recv(65536)
                    if not piece:
                        return
                    pending += piece
                head, _, rest = pending.partition(b"\r\n\r\n")
                manifest = re.search(rb"manifest ([A-Za-z0-9+/=]+)", head)
                answer = refuse(base64.b64decode(manifest[1])) if manifest else None
                if answer:
                    client.sendall(answer)
                    time.sleep(0.2)
                    return
                announced = re.search(rb"Content-Length: (\d+)", head)
                length = int(announced[1]) if announced else 0
                server.sendall(head + b"\r\n\r\n" + rest[:length])
                sent = len(rest[:length])
                pending = rest[length:]
                while sent < length:
                    piece = client.recv(min(65536, length - sent))
                    if not piece:
                        return
                    server.sendall(piece)
                    sent += len(piece)
                status, fields, body = read_answer(server)
                text = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
                client.sendall(text.encode() + body)

    return Server(handle)


def test_a_record_that_is_refused_for_good_is_set_aside_and_the_others_go_on():
    with World() as world:
        world.centre().start()
        records = world.records(5)
        bad = uuid.UUID(records[1][0]).bytes
        seen = []

        def refuse(manifest):
            if bad in manifest:
                seen.append(1)
                body = b'{"title":"the envelope is for another key"}'
                return (b"HTTP/1.1 422 X\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
                        + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

        with intercept(world, refuse) as proxy:
            station = world.station(port=proxy.port).start()
            for _, file in records:
                station.submit(file)
            until(lambda: len(station.list("--state", "delivered")) == 4, "the others are delivered")
            until(lambda: station.state_of(records[1][0]) == "quarantined", "the refused one is set aside")
            shown = station.show(records[1][0])
            assert shown["reason"] == "refused" and "another key" in shown["note"], shown
            assert len(seen) == 2, "with a good copy here it is tried once more"
            assert "Set aside" in station.titip("show", records[1][0]).stdout.decode()
        # An operator tries it again, at a centre that takes it.
        station.stop()
        world.station(port=world.port)
        station.start()
        assert station.titip("retry", records[1][0]).returncode == 0
        station.titip("wait", "--until", f"delivered={records[1][0]}", "--timeout", "60 s")
        assert station.state_of(records[1][0]) == "delivered"


def problem(status, title):
    body = json.dumps({"title": title}).encode()
    return (f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def test_a_size_that_is_refused_although_it_was_announced_sets_nothing_aside():
    with World() as world:
        world.centre().start()
        records = world.records(5)
        large = uuid.UUID(records[1][0]).bytes
        limits = [1]  # of something in between

        def refuse(manifest):
            return problem(413, "too large for this proxy") if limits and large in manifest else None

        with intercept(world, refuse) as proxy:
            station = world.station(port=proxy.port).start()
            for _, file in records:
                station.submit(file)
            until(lambda: len(station.list("--state", "delivered")) == 4, "the others are delivered")
            until(lambda: station.link().get("deferred") or station.list("--state", "quarantined"), "it is refused")
            assert station.state_of(records[1][0]) == "waiting"
            shown = station.titip("show", records[1][0]).stdout.decode()
            assert "too large for this proxy" in shown and "Next try" in shown, shown
            limits.clear()
            station.titip("resume")
            until(lambda: station.state_of(records[1][0]) == "delivered", "it is tried again, and taken")


def test_what_was_set_aside_is_retried_by_its_reason_all_at_once_or_by_several_ids():
    with World() as world:
        world.centre().start()
        records = world.records(6, size_bytes=50_000)
        broken = [1]

        def refuse(_):
            return problem(422, "the key of the day is not here") if broken else None

        with intercept(world, refuse) as proxy:
            station = world.station(port=proxy.port).start()
            for _, file in records:
                station.submit(file)
            aside = lambda: station.status()["records"]["quarantined"]["records"]  # noqa: E731
            until(lambda: aside() == 6, "all of them are set aside", 120)
            station.titip("pause")
            assert station.json("retry", "--reason", "too-large") == [{"retried": 0, "open_failed": 0}]
            done = station.titip("retry", records[0][0], str(uuid.uuid4()), records[1][0])
            assert done.returncode == 5 and aside() == 4, (done.returncode, aside())
            assert station.titip("retry", records[0][0], records[2][0]).returncode == 6 and aside() == 3
            for wrong in ((), ("--all", records[3][0]), ("--all", "--reason", "refused"), ("--reason", "bad-luck")):
                assert station.titip("retry", *wrong).returncode == 2, wrong
            assert station.http("POST", "/v1/retry?reason=bad-luck")[0] == 400
            assert station.json("retry", "--all", "--station", "elsewhere") == [{"retried": 0, "open_failed": 0}]
            done = station.titip("retry", "--reason", "refused", "--station", STATION)
            assert done.returncode == 0 and done.stdout.decode() == "3 records wait again.\n", done.stdout
            broken.clear()
            station.titip("resume")
            until(lambda: len(station.list("--state", "delivered")) == 6, "all of them are delivered", 120)


def test_rotten_bytes_are_set_aside_and_the_others_go_on():
    with World() as world:
        centre, station = world.centre(), world.station().start()
        records = world.records(4)
        for _, file in records:
            station.submit(file)
        status, _, sealed = station.http("GET", f"/v1/records/{records[2][0]}/envelope")
        assert status == 200
        station.stop()
        data = world.path / "station" / "data.mdb"
        content = data.read_bytes()
        at = content.index(sealed[100_000:100_400])
        with open(data, "r+b") as file:
            file.seek(at + 200)
            file.write(bytes([content[at + 200] ^ 0x10]))
        station.start()
        centre.start()
        until(lambda: len(station.list("--state", "delivered")) == 3, "the others are delivered")
        until(lambda: station.state_of(records[2][0]) == "quarantined", "the rotten one is set aside")
        assert station.show(records[2][0])["reason"] == "rotten"
        assert centre.list() and records[2][0] not in {r["id"] for r in centre.list()}
        station.stop()
        station.start()
        assert station.state_of(records[2][0]) == "quarantined"


def test_the_quota_refuses_new_records_and_harms_nothing():
    with World() as world:
        centre, station = world.centre(), world.station(quota="2 MiB", keep="1 ms").start()
        records = world.records(12)
        codes = [station.submit(file).returncode for _, file in records]
        accepted = codes.count(0)
        assert 0 < accepted < 12 and set(codes) == {0, 6}, codes
        done = station.submit(records[-1][1])
        assert b"no space for another record" in done.stderr and b"quota" in done.stderr, done.stderr
        status, _, answer = station.http("PUT", f"/v1/records/{records[-1][0]}", records[-1][1].read_bytes())
        assert status == 507, answer
        assert "ALARM" in station.titip("status").stdout.decode()
        assert len(station.list()) == accepted
        centre.start()
        station.wait_drained()
        for record, _ in records[:accepted]:
            assert station.titip("receipt", record).returncode == 0
            assert centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                                world.path / "recipient.pem").returncode == 0
        until(lambda: len(station.list("--state", "erased")) == accepted, "erased after opening")
        assert station.submit(records[-1][1]).returncode == 0, "space returned: it goes on by itself"
        until(lambda: "room-again" in station.log(), "the log says that there is room again")
        errors = [line for line in station.log().splitlines() if "no space for another record" in line]
        assert len(errors) == 1 and "full" in errors[0] and "error" in errors[0], errors


def test_who_reads_only_the_log_hears_of_a_finding_and_of_what_the_centre_cannot_open():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(2)
        bad = records[0][0]
        station.submit(records[0][1])
        station.wait_drained()
        assert centre.titip("verdict", bad, "open-failed").returncode == 0
        until(lambda: f"open-failed record={bad}" in station.log(), "the log names the record")
        assert centre.state_of(bad) == "delivered" and station.state_of(bad) == "quarantined"
        assert "the centre decides" in station.titip("show", bad).stdout.decode()
        # A store that was restored from a copy.
        station.stop()
        shutil.copytree(world.path / "station", world.path / "copy")
        station.start()
        station.submit(records[1][1])
        station.wait_drained()
        station.stop()
        shutil.rmtree(world.path / "station")
        shutil.move(world.path / "copy", world.path / "station")
        station.start()
        until(lambda: "finding kind=later-head" in station.log(), "the log says what the centre knows better")
        said = [line for line in station.log().splitlines() if "finding kind=" in line]
        assert len(said) == len(station.status()["findings"]) and all("error" in line for line in said), said
        # Who has dealt with it ends the alarm; what was found stays, also over a restart.
        finding = station.status()["findings"][0]
        number = str(finding["number"])
        assert f"titip acknowledge {number} --reason TEXT" in station.titip("status").stdout.decode()
        assert finding["told_by"] == "centre" and len(finding["proof"]) == 64
        assert station.titip("acknowledge", number).returncode == 2, "a reason is needed"
        assert station.titip("acknowledge", number, "--reason", "a\x1b[2J").returncode == 2, "one that can be shown"
        assert station.titip("acknowledge", "4711", "--reason", "x").returncode == 5, "there is none"
        assert station.status()["findings_standing"] == len(said)
        done = station.titip("acknowledge", number, "--reason", "the old disk is in the safe")
        assert done.returncode == 0 and "the old disk is in the safe" in done.stdout.decode(), done
        assert station.status()["findings_standing"] == len(said) - 1
        station.stop()
        station.start()
        assert number not in [str(each["number"]) for each in station.status()["findings"]]
        kept = station.titip("findings").stdout.decode()
        assert "later-head" in kept and "acknowledged" in kept and "the old disk is in the safe" in kept, kept
        assert "acknowledged" in station.titip("events").stdout.decode()


def test_a_verdict_that_needs_a_person_reaches_the_clerk_and_the_later_number_counts():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.wait_drained()
        verdict = lambda *arguments: centre.titip("verdict", record, *arguments)
        needs = lambda: station.status().get("needs_person")
        assert verdict("duplicate").returncode == 0
        until(lambda: needs() == 1, "the clerk is told")
        words = station.titip("status").stdout.decode()
        assert "1 record needs a person, by what the centre found: titip list --needs-person" in words, words
        assert [r["id"] for r in station.list("--needs-person")] == [record]
        assert station.titip("show", record).stdout.startswith(b"NEEDS A PERSON: the centre says that this person is enrolled")
        assert f"needs-person record={record}" in station.log()
        # Another one that excludes it has to be meant; A, B, A ends with A.
        done = verdict("print-ready")
        assert done.returncode == 6 and b"--replace" in done.stderr, done
        assert verdict("print-ready", "--replace").returncode == 0
        until(lambda: needs() == 0, "the line goes")
        assert station.list("--needs-person") == []
        assert verdict("duplicate", "--replace").returncode == 0
        until(lambda: needs() == 1, "and comes again")
        assert station.show(record)["standing_verdicts"] == ["duplicate"], station.show(record)
        said = [e["detail"] for e in station.show(record)["story"] if e["event"] == "verdict"]
        assert said == ["duplicate", "print-ready", "duplicate"], said
        station.kill()
        station.start()
        until(lambda: needs() == 1, "also after a start")
        # What `titip open` has seen it means, whatever was said before.
        assert verdict("open-failed", "--replace").returncode == 0
        until(lambda: station.state_of(record) == "quarantined", "the station keeps the bytes")
        assert centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                            world.path / "recipient.pem").returncode == 0
        until(lambda: station.state_of(record) == "opened", "it was opened after all")


def test_a_full_disk_refuses_new_records_and_harms_nothing():
    if os.geteuid() != 0:
        raise harness.Skipped("needs root for a loop device")
    with World() as world:
        image, disk = world.path / "image", world.path / "disk"
        disk.mkdir()
        with open(image, "wb") as file:
            file.truncate(56 << 20)
        assert run("mkfs.ext4", "-q", "-F", image).returncode == 0
        mounted = run("mount", "-o", "loop", image, disk)
        if mounted.returncode != 0:
            raise harness.Skipped(f"no loop device here: {mounted.stderr.decode().strip()}")
        try:
            (disk / "others").write_bytes(bytes(8 << 20))
            centre = world.centre()
            station = world.station(state=disk / "state", keep="1 ms", quota="64 MiB").start()
            records = world.records(60, size_bytes=700_000)
            accepted, warned = [], None
            for record, path in records:
                done = station.submit(path)
                if done.returncode != 0:
                    assert done.returncode == 6 and b"no space" in done.stderr, done
                    assert b"the disk is full" in done.stderr and b"quota" not in done.stderr, done
                    break
                accepted.append(record)
                if warned is None and "of what the disk can give" in station.titip("status").stdout.decode():
                    warned = len(accepted)
            assert 3 < len(accepted) < 60, len(accepted)
            # Said before it is full, of the disk and not of the quota, by all who say it.
            assert warned is not None and warned < len(accepted), (warned, len(accepted))
            told = station.status()["disk"]
            assert told["limit"] == "disk" and told["total_bytes"] < 48 << 20 and told["used_percent"] == 100, told
            assert "days_to_full" not in told, "no forecast from some seconds"
            until(lambda: "limit=disk: no space for another record" in station.log(), "the log says that it is full")
            log = station.log()
            assert "[node] quota: 67.1 MB is more than the disk of" in log, log[:2000]
            assert b"[node] quota" in run(BIN / "titipd", "--check", "--config", station.config).stderr
            # Somebody else takes the rest of the disk too.
            with contextlib.suppress(OSError), open(disk / "ballast", "wb") as ballast:
                while True:
                    ballast.write(bytes(1 << 20))
                    ballast.flush()
            assert station.submit(records[-1][1]).returncode == 6
            # Reading, receipts and states still work.
            assert {r["id"] for r in station.list()} == set(accepted)
            centre.start()
            station.wait_drained()
            for record in accepted[:3]:
                assert station.titip("receipt", record).returncode == 0
                assert centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                                    world.path / "recipient.pem").returncode == 0
            until(lambda: len(station.list("--state", "erased")) == 3, "deletes work on a full disk")
            station.kill()
            station.start()
            assert {r["id"] for r in station.list()} == set(accepted)
            # Nothing is committed meanwhile: that others gave room back is seen all the same.
            (disk / "ballast").unlink()
            (disk / "others").unlink()
            until(lambda: station.status()["disk"]["left_bytes"] > 0, "the disk is looked at")
            for record in accepted[3:]:
                centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                             world.path / "recipient.pem")
            until(lambda: len(station.list("--state", "erased")) == len(accepted), "all erased")
            assert station.submit(records[-1][1]).returncode == 0, "space returned: it goes on by itself"
        finally:
            for node in world.nodes:
                node.stop()
            run("umount", disk)


def manifest_and_envelope(world, station, record):
    """What a station would send, taken from its journal by way of the centre."""
    with connected(world) as secure:
        status, fields, _ = exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=[("Tus-Resumable", "1.0.0")])
        assert status == 200, status
        return fields["upload-metadata"].split()[1], int(fields["upload-length"])


def test_compacting_gives_space_back_and_may_be_killed_at_any_moment():
    with World() as world:
        centre, station = world.centre().start(), world.station(keep="1 ms").start()
        records = world.records(30)
        for _, file in records:
            station.submit(file)
        station.wait_drained()
        held = centre.list()
        for record in held[:25]:
            what = {"id": record["id"], "station": record["station"], "digest": record["digest"], "kind": "opened"}
            status, _, answer = centre.http("POST", "/v1/verdicts", json.dumps(what).encode())
            assert status == 200, answer
        until(lambda: len(station.list("--state", "erased")) == 25, "what was opened is erased")

        def content():
            return {r["id"]: (r["state"], r["sequence"], r["digest"]) for r in station.list()}

        before = content()
        state = world.path / "station"
        refused = station.titip("compact", "--state", state)
        assert refused.returncode == 6 and b"in use by another titipd" in refused.stderr, refused.stderr
        station.stop()
        data = state / "data.mdb"
        large = data.stat().st_size
        chance = random.Random(1)
        killed = 0
        for _ in range(20):
            work = subprocess.Popen([BIN / "titip", "compact", "--state", state], stdout=subprocess.DEVNULL)
            time.sleep(chance.random() * 0.03)
            if work.poll() is not None:
                break
            work.kill()
            work.wait()
            killed += 1
        assert killed > 0, "never in the middle"
        station.start()
        assert content() == before
        station.stop()
        done = station.titip("--json", "compact", "--state", state)
        assert done.returncode == 0, done.stderr
        sizes = json.loads(done.stdout)
        assert sizes["bytes_after"] == data.stat().st_size < large / 2, (sizes, large)
        station.start()
        assert content() == before
        assert station.status()["findings"] == []
        (_, file), = world.records(1, seed=2)
        station.submit(file)
        station.wait_drained()
        assert centre.status()["findings"] == []


def test_strangers_and_other_stations_are_refused():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.wait_drained()
        world.issue("foreign", f"URI:titip:station:{STATION}", authority="stranger")
        for name in (None, "foreign"):
            try:
                with connected(world, name) as secure:
                    exchange(secure, "GET", "/v1/node")
                raise AssertionError(f"{name} was let in")
            except (ssl.SSLError, ConnectionError):
                pass
        manifest, size = manifest_and_envelope(world, station, record)
        world.issue("other", "URI:titip:station:other-office")
        tus = [("Tus-Resumable", "1.0.0")]
        offer = tus + [("Upload-Length", str(size)), ("Upload-Metadata", f"manifest {manifest}"),
                       ("Content-Type", "application/offset+octet-stream")]
        with connected(world, "other") as secure:
            status, fields, body = exchange(secure, "POST", f"/v1/uploads/{STATION}", headers=offer)
            assert status == 403 and fields["content-type"] == "application/problem+json", (status, body)
        with connected(world, "other") as secure:
            status, _, body = exchange(secure, "POST", "/v1/uploads/other-office", headers=offer)
            assert status in (403, 422), (status, body)
        with connected(world, "other") as secure:
            status, _, _ = exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=tus)
            assert status == 404, "who has no right learns nothing"
        assert centre.titip("status").returncode == 0


def test_without_a_manifest_the_answer_says_what_is_missing():
    with World() as world:
        world.centre().start()
        with connected(world) as secure:
            status, fields, body = exchange(secure, "POST", f"/v1/uploads/{STATION}", headers=[
                ("Tus-Resumable", "1.0.0"), ("Upload-Length", "10")])
            assert status == 400 and b"manifest" in body, body
            assert fields["content-type"] == "application/problem+json"


def test_a_repeated_upload_gets_the_same_receipt_and_no_byte_is_taken():
    with World() as world:
        world.centre().start()
        station = world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.wait_drained()
        manifest, size = manifest_and_envelope(world, station, record)
        receipts = {base64.b64encode(station.titip("receipt", record).stdout).decode()}
        tus = [("Tus-Resumable", "1.0.0")]
        with connected(world) as secure:
            _, fields, _ = exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=tus)
            receipts.add(fields["titip-receipt"])
            assert fields["upload-offset"] == str(size)
            status, fields, _ = exchange(secure, "POST", f"/v1/uploads/{STATION}", headers=tus + [
                ("Upload-Length", str(size)), ("Upload-Metadata", f"manifest {manifest}")])
            assert status == 201
            receipts.add(fields["titip-receipt"])
        assert len(receipts) == 1
        with connected(world) as secure:
            status, _, _ = exchange(secure, "DELETE", f"/v1/uploads/{STATION}/{record}", headers=tus)
            assert status == 403, "a complete record cannot be given up"


def test_oversized_and_slow_peers_are_bounded_and_disturb_nobody():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        rss_before = centre.anonymous_rss_bytes()
        with connected(world) as secure:
            status, _, _ = exchange(secure, "GET", "/v1/node", headers=[("X", "y" * 100_000)])
            assert status == 431, status
        with connected(world) as secure:
            status, _, _ = exchange(secure, "POST", f"/v1/uploads/{STATION}", headers=[
                ("Tus-Resumable", "1.0.0"), ("Upload-Length", str(1 << 40)),
                ("Upload-Metadata", "manifest " + "A" * 8_000)])
            assert status in (400, 413, 422), status
        with connected(world) as secure:
            status, _, _ = exchange(secure, "POST", "/v1/reconcile", content_length=1 << 30)
            assert status in (400, 413), status
        with contextlib.ExitStack() as many:
            # Thirty that say a byte and fall silent, thirty that do not even shake hands.
            for _ in range(30):
                many.enter_context(connected(world)).sendall(b"G")
                many.enter_context(socket.create_connection(("127.0.0.1", world.port)))
            for _, file in world.records(5):
                station.submit(file)
            station.wait_drained()
            grown = centre.anonymous_rss_bytes() - rss_before
            print(f"  60 silent peers and five records: {grown >> 20} MiB more")
            assert grown < 64 << 20
        assert len(centre.list("--state", "delivered")) == 5


def test_wrong_bytes_under_a_good_manifest_are_refused():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        station.wait_drained()
        manifest, size = manifest_and_envelope(world, station, record)
        centre.kill()
        run("rm", "-r", world.path / "centre")
        centre.start()
        tus = [("Tus-Resumable", "1.0.0"), ("Content-Type", "application/offset+octet-stream")]
        with connected(world) as secure:
            status, _, body = exchange(secure, "POST", f"/v1/uploads/{STATION}", body=bytes(size), headers=tus + [
                ("Upload-Length", str(size)), ("Upload-Metadata", f"manifest {manifest}")])
            assert status == 460, (status, body)
        assert centre.list() == []


def test_bytes_that_are_no_envelope_are_refused_though_signed_for():
    """Whole or begun: 422, and nothing of it stays."""
    with World() as world:
        centre = world.centre().start()
        (_, plain), = world.records(1)
        offered = run(BIN / "titip-offer", "--certificate", world.path / "station.pem", "--key", world.path / "station.key",
                      "--station", STATION, plain)
        assert offered.returncode == 0, offered.stderr
        body = plain.read_bytes()
        with connected(world) as secure:
            status, fields, answer = exchange(secure, "POST", f"/v1/uploads/{STATION}", body=body, headers=[
                ("Tus-Resumable", "1.0.0"), ("Content-Type", "application/offset+octet-stream"),
                ("Upload-Length", str(len(body))), ("Upload-Metadata", f"manifest {offered.stdout.decode().strip()}")])
            assert status == 422 and b"not a sealed envelope" in answer, (status, answer)
        assert centre.list() == []


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
