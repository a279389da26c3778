"""tus-js-client against our intake: a sealed envelope with its manifest, cut and resumed on the way; and
without a manifest a 400 that says what is missing."""

import base64
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import harness  # noqa: E402
from harness import STATION, CuttingProxy, World, run  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def test_a_foreign_client_is_cut_and_resumes():
    with World() as world:
        # The envelope and its manifest come from a real station; then the centre forgets them.
        centre, station = world.centre().start(), world.station().start()
        (record, file), = world.records(1, size_bytes=1_500_000)
        station.submit(file)
        station.wait_drained()
        envelope, manifest = world.path / "envelope", world.path / "manifest"
        envelope.write_bytes(centre.http("GET", f"/v1/records/{record}/envelope")[2])
        import socket
        with socket.create_connection(("127.0.0.1", world.port)) as raw, world.client_context().wrap_socket(
                raw, server_hostname="localhost") as secure:
            _, fields, _ = harness.exchange(secure, "HEAD", f"/v1/uploads/{STATION}/{record}", headers=[("Tus-Resumable", "1.0.0")])
        manifest.write_text(fields["upload-metadata"].split()[1])
        station.stop()
        centre.stop()
        run("rm", "-r", world.path / "centre")
        centre.start()
        with CuttingProxy(world.port) as proxy:
            common = ["node", HERE / "tus_js.mjs", f"https://localhost:{proxy.port}/v1/uploads/{STATION}", world.path / "root.pem",
                      world.path / "station.pem", world.path / "station.key", envelope]
            done = run(*common)
            answer = json.loads(done.stdout)
            assert answer["status"] == 400 and "manifest" in answer["body"], answer
            print("  without a manifest:", answer["status"], json.loads(answer["body"])["title"])
            proxy.cut_after_up = 900_000
            # A new connection a request: cut the one that carries a chunk.
            proxy.cut_after_up = 150_000
            done = run(*common, manifest)
            answer = json.loads(done.stdout)
            assert answer["done"] and proxy.cuts == 1 and answer["retries"] >= 1, (answer, done.stderr)
            print("  ", answer["answers"], "cuts", proxy.cuts)
            receipt = world.path / "receipt.cms"
            receipt.write_bytes(base64.b64decode(answer["receipt"]))
            assert run(harness.BIN / "titip", "verify", receipt, "--authorities", world.path / "root.pem").returncode == 0
        assert centre.state_of(record) == "delivered"
        assert centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate", world.path / "recipient.pem").returncode == 0


if __name__ == "__main__":
    harness.tests(sys.modules[__name__])
