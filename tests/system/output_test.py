"""What a command had to say and could not: never an exit code of 0, in any command."""

import os
import re
import stat
import subprocess
import sys

import harness
from harness import World, run, until

LOST = 8


def into(where, *command, **options):
    """Runs it with its standard output led there: a file's name, or an open descriptor."""
    out = os.open(where, os.O_WRONLY) if isinstance(where, str) else where
    try:
        return subprocess.run([str(c) for c in command], stdout=out, stderr=subprocess.PIPE, **options)
    finally:
        if isinstance(where, str):
            os.close(out)


def closed(*command):
    """With no standard output at all."""
    return subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *map(str, command)], stderr=subprocess.PIPE)


def is_said(done, program="titip"):
    said = done.stderr.decode()
    sentence = f"{program}: the answer could not be written to standard output ("
    return done.returncode == LOST and said.splitlines()[-1].startswith(sentence)


def subcommands():
    """Every command that there is: one that is new has to be in the table below."""
    shown = run(harness.BIN / "titip", "--help").stdout.decode()
    return set(re.findall(r"^  ([a-z-]+) ", shown.split("Subcommands:")[1], re.MULTILINE))


def test_no_command_ends_well_where_its_output_is_lost():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        records = world.records(6)
        for _, file in records[:4]:
            assert station.submit(file).returncode == 0
        until(lambda: len(centre.list()) == 4, "all are at the centre")
        (record, _), (opened, _) = records[0], records[1]
        keys = ("--key", world.path / "recipient.key", "--certificate", world.path / "recipient.pem")
        receipt = world.path / "receipt.cms"
        until(lambda: station.titip("receipt", record, "--out", receipt).returncode == 0, "a receipt came")
        backups, saved = world.path / "backups", world.path / "saved"
        backups.mkdir()
        # Of each command a call that says something on standard output; more than one where it has two ways to say it.
        online = {
            "status": [["status"], ["--json", "status"], ["status", "--watch", "--every-s", "0.1"]],
            "list": [["list"], ["--json", "list"]],
            "show": [["show", record], ["--json", "show", record]],
            "events": [["events"], ["--json", "events"], ["events", "--follow"]],
            "receipt": [["receipt", record], ["--json", "receipt", record], ["receipt", record, "--out", "-"]],
            "verify": [["verify"], ["--json", "verify"], ["verify", receipt, "--authorities", world.path / "root.pem"]],
            "wait": [["--json", "wait", "--until", "online", "--timeout", "10 s"]],
            "submit": [["submit", records[4][1]], ["--json", "submit", records[5][1]]],
            "pause": [["pause"]],
            "resume": [["resume"]],
            "backup": [["backup", backups]],
            "hold": [["--json", "hold", record]],  # refused: that is said on standard output too
            "release": [["--json", "release", record]],
            "retry": [["--json", "retry", record]],
            "trust": [["--json", "trust"]],
            "discard": [["--json", "discard", record, "--station", harness.STATION, "--reason", "a test"]],
            "findings": [["findings"]],
            "acknowledge": [["--json", "acknowledge", "1", "--reason", "a test"]],
            "revoked": [["revoked"], ["--json", "revoked"]],
            "unrevoke": [["--json", "unrevoke", "0" * 64, "--reason", "a test"]],
            "help": [["help"], ["help", "status"]],
        }
        upstream = {
            "open": [["open", opened, *keys], ["--json", "open", opened, *keys]],
            "verdict": [["verdict", opened, "print-ready"]],
        }
        offline = {
            "compact": [["compact", "--state", world.path / "station"]],
            "salvage": [["salvage", saved, "--state", world.path / "station"]],
            "restore": [["--json", "restore", "--config", station.config, "--from", world.path / "nowhere"]],
            "mark-disk": [["--json", "mark-disk", "--config", station.config]],
        }
        missing = subcommands() - {*online, *upstream, *offline}
        assert not missing, f"no call here of {missing}: add one that says something"

        def lost(node, commands):
            for calls in commands.values():
                for call in calls:
                    done = into("/dev/full", harness.BIN / "titip", "--socket", node.socket, *call, timeout=60)
                    assert is_said(done) and "No space left" in done.stderr.decode(), (call, done)

        lost(station, online)
        lost(centre, upstream)
        # It was done all the same; and what is asked for twice stays so.
        assert len(station.list()) == 6 and not station.status()["paused"]
        assert "opened" in centre.show(opened)["verdicts"]
        for call in (["status"], ["--json", "list"], ["--help"], ["--version"]):
            done = closed(harness.BIN / "titip", "--socket", station.socket, *call)
            assert is_said(done) and "it is closed" in done.stderr.decode(), (call, done)
        station.stop()
        lost(station, offline)
        for call in (["--config", station.config, "--check"], ["--config", station.config, "--create"], ["--help"],
                     ["--version"]):
            assert is_said(into("/dev/full", harness.BIN / "titipd", *call), "titipd"), call


def test_a_reader_that_has_seen_enough_is_no_complaint():
    with World() as world:
        station = world.station().start()
        for _, file in world.records(2):
            station.submit(file)
        for is_ignored, code in ((False, -13), (True, LOST)):  # SIGPIPE
            reading, writing = os.pipe()
            os.close(reading)
            done = into(writing, harness.BIN / "titip", "--socket", station.socket, "list",
                        restore_signals=not is_ignored)
            os.close(writing)
            assert (done.returncode, done.stderr) == (code, b""), done


def test_every_file_is_submitted_also_where_the_answers_are_lost():
    with World() as world:
        station = world.station().start()
        # More answers than the library keeps before it writes.
        files = [file for _, file in world.records(60, size_bytes=5_000)]
        done = into("/dev/full", harness.BIN / "titip", "--socket", station.socket, "submit", *files)
        assert is_said(done), done
        assert len(station.list()) == 60


def test_a_file_that_takes_nothing_is_said_and_a_device_stays_a_device():
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1)
        station.submit(file)
        until(lambda: station.state_of(record) == "delivered", "it is at the centre")
        full = world.path / "full"
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        for node, call in ((station, ["receipt", record]),
                           (centre, ["open", record, "--key", world.path / "recipient.key", "--certificate",
                                     world.path / "recipient.pem"])):
            done = node.titip(*call, "--out", full)
            assert done.returncode == LOST and b"No space left" in done.stderr, done
            assert stat.S_ISCHR(os.stat(full).st_mode), call
        assert "opened" not in centre.show(record)["verdicts"], "nothing was given out, so nothing was opened"


def test_a_daemon_without_standard_streams_writes_no_line_into_its_store():
    with World() as world:
        station = world.station()
        assert station.create().returncode == 0
        station.start(before=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
        for _, file in world.records(3):
            assert station.submit(file).returncode == 0
        for stream in (0, 1, 2):
            assert os.readlink(f"/proc/{station.process.pid}/fd/{stream}") == "/dev/null"
        assert station.titip("verify").returncode == 0
        station.stop()
        station.start()
        assert station.titip("verify").returncode == 0


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
