"""Downloads against a server on this machine: broken, resumed, changed, missing, too large."""

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest
from typer.testing import CliRunner

from compute.cli.main import app
from compute.errors import BystanderError, InputError, UsageError
from compute.models.published import download as fetching
from compute.models.published.catalogue import SOURCES, RemoteFile, Source, source_named
from compute.models.published.download import download, fetch, stated_sizes

CONTENT = np.random.default_rng(0).bytes(1_000_000)
OTHER = np.random.default_rng(1).bytes(1_000_000)


class Handler(BaseHTTPRequestHandler):
    """Serves one content; `server.plan` says how."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        plan = self.server.plan
        asked = self.headers.get("Range")
        if body:
            self.server.requests.append(asked)
        status = plan.get("status", {}).get(len(self.server.requests), plan.get("always", 200))
        if status != 200:
            self.send_error(status)
            return
        content, start = plan["content"], 0
        same = self.headers.get("If-Range") == plan.get("etag") or plan.get("ignores_if_range")
        if asked and plan.get("ranges", True) and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if plan.get("etag"):
            self.send_header("ETag", plan["etag"])
        self.send_header("Content-Type", plan.get("type", "application/octet-stream"))
        if plan.get("length", True):
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if body:
            end = min(len(content), start + plan.get("breaks_after", len(content)))
            with suppress(ConnectionError):
                self.wfile.write(content[start:end])


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.plan, made.requests = {"content": CONTENT, "etag": '"one"'}, []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def remote(server):
    url = f"http://127.0.0.1:{server.server_port}/weights.bin"
    return RemoteFile(url, "weights.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def get(remote, folder, **options):
    return download(remote, folder / remote.name, pause=0, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_a_file_comes_whole_with_its_progress(server, remote, tmp_path, known, length):
    server.plan["length"] = length
    remote = remote if known else replace(remote, size=None, sha256=None)
    seen = []
    path = get(remote, tmp_path, progress=lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.bin"]
    assert {stage for stage, _, _ in seen} == {"weights.bin (kB)"}
    assert seen[-1][1:] == (1000, 1000)
    assert [done for _, done, total in seen if done >= total] == [1000]


def test_what_breaks_is_gone_on_with(server, remote, tmp_path):
    server.plan["breaks_after"] = 300_000
    said = []
    assert get(remote, tmp_path, say=said.append).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert any("broke after 300,000 of 1,000,000 bytes" in line for line in said)
    assert any("going on after 600,000 bytes" in line for line in said)
    assert names(tmp_path) == ["weights.bin"]


def test_what_keeps_breaking_is_kept_for_the_next_command(server, remote, tmp_path):
    server.plan["breaks_after"] = 100_000
    with pytest.raises(BystanderError) as error:
        get(remote, tmp_path, attempts=2)
    assert "broke after 200,000 of 1,000,000 bytes" in str(error.value)
    assert "200,000 bytes are kept: the same command goes on" in str(error.value)
    assert names(tmp_path) == [".weights.bin.part", ".weights.bin.part.json"]
    del server.plan["breaks_after"]
    assert get(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests[2:] == ["bytes=200000-"]


@pytest.mark.parametrize("change", [{"etag": None}, {"etag": 'W/"weak"'}])
def test_without_a_version_nothing_is_kept(server, remote, tmp_path, change):
    server.plan.update(change, breaks_after=100_000)
    with pytest.raises(BystanderError, match="Nothing could be kept"):
        get(remote, tmp_path, attempts=2)
    assert server.requests == [None, None]
    assert names(tmp_path) == []


def test_a_server_without_ranges_is_asked_for_all_again(server, remote, tmp_path):
    server.plan.update(ranges=False, breaks_after=100_000)
    with pytest.raises(BystanderError):
        get(remote, tmp_path, attempts=2)
    del server.plan["breaks_after"]
    said = []
    assert get(remote, tmp_path, say=said.append).read_bytes() == CONTENT
    assert any("from the beginning" in line for line in said)


@pytest.mark.parametrize("ignores", [False, True])
def test_what_changed_in_between_is_not_mixed(server, remote, tmp_path, ignores):
    remote = replace(remote, sha256=None)
    server.plan["breaks_after"] = 400_000
    with pytest.raises(BystanderError):
        get(remote, tmp_path, attempts=1)
    server.plan = {"content": OTHER, "etag": '"two"', "ignores_if_range": ignores}
    assert get(remote, tmp_path).read_bytes() == OTHER
    assert names(tmp_path) == ["weights.bin"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (OTHER, f"its sha256 is {hashlib.sha256(OTHER).hexdigest()}, not "),
        (OTHER[:-5], "it has 999,995 bytes, not 1,000,000"),
    ],
)
@pytest.mark.parametrize("length", [True, False])
def test_what_arrives_changed_is_not_kept(server, remote, tmp_path, content, named, length):
    server.plan.update(content=content, length=length)
    with pytest.raises(InputError) as error:
        get(remote, tmp_path)
    assert "is not the file that was published: " + named in str(error.value)
    assert remote.url in str(error.value)
    assert names(tmp_path) == []


def test_a_part_altered_on_disk_is_noticed(server, remote, tmp_path):
    server.plan["breaks_after"] = 400_000
    with pytest.raises(BystanderError):
        get(remote, tmp_path, attempts=1)
    part = tmp_path / ".weights.bin.part"
    part.write_bytes(b"\0" * part.stat().st_size)
    del server.plan["breaks_after"]
    with pytest.raises(InputError, match="its sha256 is"):
        get(remote, tmp_path)
    assert get(remote, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "note", ["", "{}", '{"url": "http://else/x", "validator": "a", "total": 9}']
)
def test_a_part_of_something_else_is_not_gone_on_with(server, remote, tmp_path, note):
    (tmp_path / ".weights.bin.part").write_bytes(b"else")
    (tmp_path / ".weights.bin.part.json").write_text(note)
    assert get(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None]


def test_a_part_that_is_whole_needs_no_connection(server, remote, tmp_path):
    (tmp_path / ".weights.bin.part").write_bytes(CONTENT)
    note = {"url": remote.url, "validator": '"one"', "total": len(CONTENT)}
    (tmp_path / ".weights.bin.part.json").write_text(json.dumps(note))
    assert get(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_a_range_the_server_has_no_more_begins_anew(server, remote, tmp_path):
    server.plan["breaks_after"] = 400_000
    with pytest.raises(BystanderError):
        get(remote, tmp_path, attempts=1)
    server.plan = {"content": CONTENT, "etag": '"one"', "status": {2: 416}}
    assert get(remote, tmp_path).read_bytes() == CONTENT
    assert server.requests[1:] == ["bytes=400000-", None]


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_missing_file_is_named_at_once(server, remote, tmp_path, status):
    server.plan["always"] = status
    with pytest.raises(InputError, match=f"weights.bin cannot be had: the server says {status}"):
        get(remote, tmp_path)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(server, remote, tmp_path):
    server.plan["status"] = {1: 503, 2: 429}
    assert get(remote, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_page_instead_of_the_file_is_refused(server, remote, tmp_path):
    server.plan["type"] = "text/html; charset=utf-8"
    with pytest.raises(InputError, match="answered with a web page"):
        get(remote, tmp_path)
    assert names(tmp_path) == []


def test_nobody_there(server, remote, tmp_path):
    server.server_close()
    with pytest.raises(BystanderError, match=r"did not come: .*refused"):
        get(remote, tmp_path, attempts=2)


def test_other_kinds_of_address_are_refused(remote, tmp_path):
    with pytest.raises(UsageError, match="not an http or https address"):
        get(replace(remote, url=(tmp_path / "x").as_uri()), tmp_path)


def test_what_is_there_is_left_or_named(server, remote, tmp_path):
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    said = []
    get(remote, tmp_path, say=said.append)
    assert said == [f"{tmp_path / 'weights.bin'} is there already"]
    (tmp_path / "weights.bin").write_bytes(OTHER)
    with pytest.raises(InputError, match="is not the file that was published"):
        get(remote, tmp_path)
    assert (tmp_path / "weights.bin").read_bytes() == OTHER
    assert server.requests == []


def test_a_full_disk_is_told_before_anything_comes(server, remote, tmp_path, monkeypatch):
    class Little:
        free = 10

    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: Little)
    with pytest.raises(BystanderError, match="1,000,000 bytes are to come, 10 are free"):
        get(remote, tmp_path)


def test_a_source_of_several_files_goes_into_its_folders(server, remote, tmp_path):
    files = (replace(remote, name="a/one.csv"), replace(remote, name="b/one.csv"))
    source = Source("two files", "a page", "MIT", "nowhere", files, "Look at them.")
    paths = fetch(source, tmp_path / "new")
    assert [path.relative_to(tmp_path / "new").as_posix() for path in paths] == [
        "a/one.csv", "b/one.csv",
    ]  # fmt: skip
    assert all(path.read_bytes() == CONTENT for path in paths)


def test_sizes_not_known_are_asked_for(server, remote):
    source = Source("a", "b", "c", "d", (remote, replace(remote, size=None)), "e")
    assert stated_sizes(source) == [len(CONTENT)] * 2
    assert server.requests == []
    server.plan["always"] = 404
    assert stated_sizes(source) == [len(CONTENT), None]


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_complete_and_hold_no_nonsense(name):
    source = SOURCES[name]
    assert all((source.title, source.licence, source.publication, source.then))
    assert urlsplit(source.page).scheme in ("http", "https")
    assert len({file.name for file in source.files}) == len(source.files)
    for file in source.files:
        assert urlsplit(file.url).scheme in ("http", "https")
        assert ".." not in file.name
        assert not file.name.startswith("/")
        assert file.size is None or file.size > 0
        assert file.sha256 is None or (len(file.sha256) == 64 and file.size is not None)


def test_known_hashes_are_those_of_the_shared_files(shared):
    places = {
        "pifia-weights": "published_checkpoints",
        "swap-results": "published_results",
        "swap-example": "paper_example",
    }
    for name, folder in places.items():
        for file in SOURCES[name].files:
            if file.sha256 is not None:
                content = (shared / folder / file.name).read_bytes()
                assert (len(content), hashlib.sha256(content).hexdigest()) == (
                    file.size, file.sha256,
                )  # fmt: skip


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(UsageError, match=r"Did you mean 'deeploc-weights'.*or list"):
        source_named("deeploc-weight")


def bystander(*arguments):
    return CliRunner().invoke(app, ["fetch", *arguments])


def test_the_command_line_lists_asks_and_refuses(tmp_path):
    listed = bystander()
    assert listed.exit_code == 0
    for name in SOURCES:
        assert f"{name}: " in listed.output
    asked = bystander("swap-example", "--to", str(tmp_path / "here"))
    assert isinstance(asked.exception, UsageError)
    assert "Agree with --yes" in str(asked.exception)
    assert "2 files, 16.6 kB; licence: not stated" in asked.output
    assert not (tmp_path / "here").exists()
    page = bystander("pifia-crops", "--yes")
    assert isinstance(page.exception, UsageError)
    assert "https://thecellvision.org/" in str(page.exception)
    assert isinstance(bystander("nonsense").exception, UsageError)


def test_the_command_line_downloads_what_was_agreed_to(server, remote, tmp_path, monkeypatch):
    source = Source("one file", "http://page", "MIT", "nowhere", (remote,), "Look at it.")
    monkeypatch.setattr("compute.models.published.catalogue.SOURCES", {"weights": source})
    done = CliRunner().invoke(app, ["fetch", "weights", "--to", str(tmp_path), "--yes"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT
    assert "1 file, 1.0 MB; licence: MIT" in done.output
    assert "Then: Look at it." in done.output
