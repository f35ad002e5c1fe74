"""Object storage in memory whose calls fail at first, and what lies in folders behind URLs."""

from pathlib import Path

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from compute.storage.locks import LOCK_FILE
from compute.storage.remote import Remote


class Flaky(MemoryFileSystem):
    """Object storage that answers every other call with an error, and counts them."""

    protocol = "flaky"
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False
    failing = 1
    calls: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("flaky://").strip("/")

    def trouble(self, call):
        Flaky.calls.append(call)
        if sum(item == call for item in Flaky.calls) <= Flaky.failing:
            raise ConnectionError(f"{call}: please slow down")

    def find(self, *args, **more):
        self.trouble("find")
        return super().find(*args, **more)

    def cat_file(self, *args, **more):
        self.trouble("cat_file")
        return super().cat_file(*args, **more)

    def pipe_file(self, *args, **more):
        self.trouble("pipe_file")
        return super().pipe_file(*args, **more)

    def get_file(self, *args, **more):
        self.trouble("get_file")
        return super().get_file(*args, **more)

    def put_file(self, *args, **more):
        self.trouble("put_file")
        return super().put_file(*args, **more)


fsspec.register_implementation("flaky", Flaky, clobber=True)


def put(url, folder: Path):
    there = Remote(url)
    for path in folder.rglob("*"):
        if path.is_file():
            there.push(path, path.relative_to(folder).as_posix())


def files(folder: Path):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(LOCK_FILE)
    }


def content(url):
    there = Remote(url)
    return {name: there.read(name) for name in there.sizes()}
