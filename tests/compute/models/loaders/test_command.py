"""A program over a pipe: right answers, and every way in which it can fail."""

import copy
import gc
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from compute.errors import InputError, UsageError
from compute.models.card import make_card
from compute.models.card_files import FoundModel, load_card, save_card
from compute.models.embedder import load_model
from compute.models.loaders import child_program, command
from compute.models.loaders.child_program import BoundedOutput
from compute.storage.atomic_files import sha256

DOCS = Path(__file__).resolve().parents[4] / "docs"

HEAD = """\
import os, sys, time
import numpy as np, pyarrow as pa
given = pa.ipc.open_stream(sys.stdin.buffer)
schema = pa.schema([("row", pa.int64()), ("embedding", pa.list_(pa.float32()))])
answers = pa.ipc.new_stream(sys.stdout.buffer, schema)
said = {k.decode(): v.decode() for k, v in given.schema.metadata.items()}
shape = [int(said[name]) for name in ("channels", "height", "width")]
def write(rows, embedding, schema=schema):
    answers.write_batch(pa.record_batch([rows, pa.array(list(embedding), schema[1].type)], schema))
    sys.stdout.flush()
for number, batch in enumerate(given):
    crops = batch["pixels"].flatten().to_numpy().reshape(-1, *shape)
    rows, means = batch["row"], crops.mean((2, 3))
"""
"""A program up to where it has read a batch; what it does then is the test's."""

GOOD = "    write(rows, means)\n"


def program(folder, then=GOOD, head=HEAD, **card):
    """Write a program that this Python runs; return it as found."""
    (folder / "embed.py").write_text(head + then, "utf-8")
    values = {"channels": ["a", "b"], "size": 8, "command": [sys.executable, "embed.py"], **card}
    made = make_card("command", name="m", trained_on="nothing", simulated=True, **values)
    return FoundModel(made, folder, trusted=True)


def crops(n=5, seed=1):
    return torch.rand((n, 2, 8, 8), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _only_what_is_asked(request, monkeypatch):
    """Leave out the check of behaviour: programs here count batches."""
    if "behaviour" not in request.node.name:
        monkeypatch.setattr("compute.models.embedder.check_behaviour", lambda *_: [])


@pytest.fixture
def loaded():
    """`load_model`, of which programs end with the test."""
    models = []

    def load(found):
        models.append(load_model(found))
        return models[-1]

    yield load
    for model in models:
        model.network.close()


@pytest.fixture
def quick(monkeypatch):
    """Programs that may take a second and a half, from their start."""
    monkeypatch.setattr(command, "SECONDS", 1.5)


def pid_of(model):
    return model.network._talk.program.number


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_answers_are_the_programs_own(tmp_path, loaded):
    model = loaded(program(tmp_path))
    assert model.dimension == 2
    for n in (1, 5, 3):
        assert torch.allclose(model(crops(n)), crops(n).mean((2, 3)), atol=1e-6)
    assert model.module is None
    assert model.rounding(crops(), "float32") is None
    with pytest.raises(UsageError, match=r"bfloat16: it is command, a program .*--precision float"):
        model(crops(), precision="bfloat16")


def test_it_is_started_once_in_the_cards_folder_and_told_what_it_gets(tmp_path, loaded):
    then = """\
    here = os.path.samefile(".", sys.argv[1])
    write(rows, [[os.getpid(), here, len(shape), shape[0]]] * len(rows))
    assert said["model"] == "m" and said["layer"] == "fc7" and sys.argv[2] == "two words"
"""
    words = [sys.executable, "embed.py", str(tmp_path), "two words"]
    model = loaded(program(tmp_path, then, layer="fc7", command=words))
    first, second = model(crops()), model(crops())
    assert torch.equal(first, second)
    assert first[0].tolist() == [pid_of(model), 1, 3, 2]
    assert pid_of(model) != os.getpid()


def test_threads_wait_for_each_other(tmp_path, loaded):
    model = loaded(program(tmp_path))
    given = [crops(4, seed=k) for k in range(24)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(model, given))
    for images, answer in zip(given, found, strict=True):
        assert torch.allclose(answer, images.mean((2, 3)), atol=1e-6)


def test_large_batches_are_parted(tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(command, "AT_ONCE", 3 * 2 * 8 * 8 * 4)
    model = loaded(program(tmp_path, "    write(rows, [[len(rows)]] * len(rows))\n"))
    assert model(crops(7)).ravel().tolist() == [3, 3, 3, 3, 3, 3, 1]


@pytest.mark.parametrize("kind", ["list_(pa.float64())", "large_list(pa.float32())",
                                  "list_(pa.float32(), 2)", "list_(pa.float16())"])  # fmt: skip
def test_lists_of_every_kind_will_do(tmp_path, loaded, kind):
    head = HEAD.replace("list_(pa.float32())", kind)
    found = loaded(program(tmp_path, "    write(rows, means.tolist())\n", head))(crops())
    assert torch.allclose(found, crops().mean((2, 3)), atol=1e-3)


def test_each_loaded_model_starts_its_own(tmp_path, loaded):
    found = program(tmp_path)
    here, there = loaded(found), loaded(copy.deepcopy(found))
    assert torch.equal(here(crops()), there(crops()))
    assert pid_of(here) != pid_of(there)


def test_it_needs_trust_a_folder_and_a_command(tmp_path):
    found = program(tmp_path)
    with pytest.raises(UsageError, match=r"runs foreign code: the program .*embed.py"):
        load_model(replace(found, trusted=False))
    with pytest.raises(UsageError, match="Where the program of model 'm' is to run is not known"):
        load_model(replace(found, folder=None))
    with pytest.raises(InputError, match=r"The folder .*away is missing"):
        load_model(replace(found, folder=tmp_path / "away"))
    with pytest.raises(InputError, match=r"command = \[\] is not allowed"):
        program(tmp_path, command=[])
    with pytest.raises(InputError, match=r"command = \['x'\] is not allowed.*unless source"):
        make_card("paired_cell", name="m", trained_on="nothing", simulated=True, command=["x"],
                  weights="m.safetensors", sha256="0" * 64)  # fmt: skip


def test_a_changed_program_is_noticed_if_the_card_names_it(tmp_path, loaded):
    program(tmp_path)
    digest = sha256(tmp_path / "embed.py")
    found = program(tmp_path, weights="embed.py", sha256=digest)
    save_card(found.card, tmp_path / "m.toml")
    assert load_card(tmp_path / "m.toml") == found.card
    assert loaded(found).dimension == 2
    (tmp_path / "embed.py").write_text(HEAD + GOOD + "    pass\n", "utf-8")
    with pytest.raises(InputError, match="is not the file that the card of 'm' describes"):
        load_model(found)


WRONG = {
    "too few rows": ("write(rows[1:], means[1:])", "answered 1 rows for 2 crops"),
    "too many rows": ("write(pa.array([0, 1, 2]), [[1.0]] * 3)", "answered 3 rows for 2 crops"),
    "other rows": ("write(pa.array([1, 0]), means)", "answered other rows than 0 to 1, in order"),
    "not finite": ("means[1, 1] = np.nan; write(rows, means)", "that is not finite for row 1"),
    "infinite": ("means[0, 1] = np.inf; write(rows, means)", "that is not finite for row 0"),
    "lengths": ("write(rows, [[1], [1, 2]])", "embeddings of different or wrong lengths: 1, 2"),
    "no embedding": ("write(rows, [[1], None])", "different or wrong lengths: 1, missing"),
    "no number": ("write(rows, [[1], [None]])", "answered embeddings with empty values"),
    "nothing": ("write(rows, [[], []])", "embeddings of different or wrong lengths: 0"),
    "far too long": ("write(rows, np.zeros((2, 100001)))", "or wrong lengths: 100001"),
    "endless": ("write(rows, np.zeros((2, 10**6)))", r"announced \S+ bytes where an answer has"),
    "text": ("print('hello there, world')", "b'hello there, world.*begins no Arrow stream; all"),
    "a little text": ("os.write(1, b'ok'); sys.exit()", "wrote b'ok' to its standard output"),
    "endless text": ("while True: os.write(1, b'no ' * 1000)", "wrote b'no no no"),
    "dies": ("print('alas', file=sys.stderr); sys.exit(3)", r"ended with status 3 (.|\n)*alas"),
    "raises": ("raise OSError('my disk')", r"ended with status 1 (.|\n)*OSError: my disk"),
    "killed": ("os.kill(os.getpid(), 9)", "ended with status -9 before it had answered"),
    "half": ("os.write(1, b'\\xff\\xff\\xff\\xff\\x10'); sys.exit()", "ended with status 0 before"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_answers_are_told_and_end_the_program(tmp_path, case):
    then, said = WRONG[case]
    found = program(tmp_path, f"    {then}\n")
    with pytest.raises(InputError, match=rf"Model 'm': the program .*embed.py (.|\n)*{said}"):
        load_model(found)


def test_other_columns_and_types(tmp_path):
    for column, kind, said in [
        ('"embedding"', "pa.float32()", "answered an embedding of type float, not lists"),
        ('"embedding"', "pa.list_(pa.int64())", r"of type list<\w+: int64>, not lists of float32"),
        ('"vector"', "pa.list_(pa.float32())", "answered columns row, vector, not row and embeddi"),
    ]:
        head = HEAD.replace('"embedding"', column).replace("pa.list_(pa.float32())", kind)
        values = "[1, 2]" if kind == "pa.float32()" else "[[1], [2]]"
        with pytest.raises(InputError, match=said):
            load_model(program(tmp_path, f"    write(rows, {values})\n", head))


def test_another_width_than_before(tmp_path, loaded):
    then = "    write(rows, [[1.0] * (1 if number < 2 else 2)] * len(rows))\n"
    model = loaded(program(tmp_path, then))
    assert model(crops()).shape == (5, 1)
    with pytest.raises(InputError, match="answered 2 numbers for each crop, and 1 before"):
        model(crops())
    assert model(crops()).shape == (5, 1)  # started anew


def test_answers_that_come_twice_are_not_taken_for_the_next(tmp_path, loaded):
    model = loaded(program(tmp_path, "    write(rows, means)\n" * 2))
    with pytest.raises(InputError, match="answered other rows than 2 to 3, in order"):
        model(crops(2))


def test_text_between_answers(tmp_path, loaded):
    model = loaded(program(tmp_path, GOOD + "    os.write(1, b'done with it')\n"))
    with pytest.raises(InputError, match=r"announced \S+ bytes where .*belongs on standard error"):
        model(crops())


def test_programs_that_do_not_start(tmp_path):
    for words, said in [
        (["no-such-program-here"], "'no-such-program-here' cannot be started in .*No such file"),
        (["./embed.py"], "'./embed.py' cannot be started in .*Permission denied"),
    ]:
        with pytest.raises(InputError, match=said):
            load_model(program(tmp_path, command=words))
    with pytest.raises(InputError, match=r"ended with status 1 (.|\n)*No module named 'no_such'"):
        load_model(program(tmp_path, "", head="import no_such\n"))
    with pytest.raises(InputError, match=r"ended with status 0 before it had answered"):
        load_model(program(tmp_path, "", head="\n"))


@pytest.mark.parametrize("head", ["import time\ntime.sleep(60)\n", HEAD])
def test_programs_that_hang(tmp_path, quick, head):
    began = time.monotonic()
    with pytest.raises(InputError, match=r"gave no answer within 1\.5 seconds"):
        load_model(program(tmp_path, "    time.sleep(60)\n" if head == HEAD else "", head))
    assert time.monotonic() - began < 30


def test_the_next_attempt_starts_it_anew(tmp_path, loaded):
    then = """\
    if number == 2 and not os.path.exists("failed"):
        open("failed", "w").close()
        sys.exit(1)
    write(rows, means)
"""
    model = loaded(program(tmp_path, then))
    model(crops())
    before = pid_of(model)
    with pytest.raises(InputError, match="ended with status 1"):
        model(crops())
    assert torch.allclose(model(crops()), crops().mean((2, 3)), atol=1e-6)
    assert pid_of(model) != before
    assert not alive(before)


def test_only_the_last_lines_are_shown(tmp_path):
    then = """\
    for k in range(100):
        print(f"line {k}", "x" * 5000, file=sys.stderr)
    sys.exit(1)
"""
    with pytest.raises(InputError) as caught:
        load_model(program(tmp_path, then))
    assert "line 99" in str(caught.value)
    assert "line 70" not in str(caught.value)
    assert len(str(caught.value)) < child_program.LINES * 600


STUBBORN = """\
    import signal, subprocess
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    open("child", "w").write(str(child.pid))
    write(rows, means)
"""


def test_stubborn_programs_end_with_all_that_they_started(tmp_path, monkeypatch):
    monkeypatch.setattr(child_program, "PATIENCE", 0.3)
    model = load_model(program(tmp_path, STUBBORN))
    own, child = pid_of(model), int((tmp_path / "child").read_text())
    assert alive(own)
    assert alive(child)
    del model
    gc.collect()
    gone(own, child)


def gone(*pids):
    """Wait until processes are gone, but not for long."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


@pytest.mark.long
def test_no_program_outlives_its_python(tmp_path):
    found = program(tmp_path, STUBBORN)
    save_card(found.card, tmp_path / "m.toml")
    script = """\
import sys
from compute import load_model
from compute.models.card_files import find_model
model = load_model(find_model(sys.argv[1], trusted=True))
print(model.network._talk.program.number)
"""
    words = [sys.executable, "-c", script, str(tmp_path / "m.toml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    gone(int(done.stdout), int((tmp_path / "child").read_text()))


def test_no_more_is_read_than_an_answer_has():
    reading, writing = os.pipe()
    output = BoundedOutput(reading)
    output.most = 10
    sent = threading.Thread(target=os.write, args=(writing, b"\xff\xff\xff\xffabcdefgh"))
    sent.start()
    assert output.read(4) + output.read(3) == b"\xff\xff\xff\xffabc"
    for size in (11, -1, 2**40):
        with pytest.raises(ValueError, match="where an answer has 10 at most"):
            output.read(size)
    sent.join()
    os.close(writing)
    assert output.read(10) == b"defgh"
    assert output.read(10) == b""
    os.close(reading)


def test_what_a_program_is_given_is_one_arrow_stream(tmp_path, loaded):
    """Kept as bytes: other languages read this, so it must not depend on ours."""
    then = '    open("schema", "wb").write(batch.schema.serialize().to_pybytes())\n' + GOOD
    loaded(program(tmp_path, then))
    schema = pa.ipc.read_schema(pa.py_buffer((tmp_path / "schema").read_bytes()))
    assert schema.names == ["row", "pixels"]
    assert schema.field("row").type == pa.int64()
    assert schema.field("pixels").type == pa.list_(pa.float32(), 2 * 8 * 8)
    assert schema.metadata == {
        b"model": b"m", b"layer": b"output", b"channels": b"2", b"height": b"8", b"width": b"8",
    }  # fmt: skip


def card_for(folder, store):
    """Write a card and program of three brightnesses of a store's first channel."""
    from compute.store.reader import CropStore

    opened = CropStore(store)
    then = "    parts = [crops.mean((2, 3)), crops.max((2, 3)), crops.std((2, 3))]\n"
    then += "    write(rows, np.concatenate(parts, 1))\n"
    found = program(folder, then, channels=[opened.channels[0]], size=0)
    save_card(found.card, folder / "m.toml")
    return folder / "m.toml"


def test_a_precision_that_it_has_not_is_refused_before_a_run_begins(tmp_path, store, config):
    from compute.runs.estimate import estimate
    from compute.runs.pipeline import run_store

    card, rounded = card_for(tmp_path, store), replace(config.embed, precision="bfloat16")
    wanted = replace(config, embed=rounded)
    with pytest.raises(UsageError, match=r"'m' cannot compute with bfloat16.*--precision float32"):
        run_store(store, tmp_path / "run", [card], wanted, device="cpu", trusted=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=r"'m' cannot compute with bfloat16"):
        estimate(store, [card], wanted, device="cpu", trusted=True)


def test_shards_are_embedded_by_several_threads(tmp_path, store):
    """Threads ask at once; each must get the answers to its own crops."""
    from compute.backgrounds.config import PlanConfig
    from compute.embedding.config import EmbedConfig, EmbedJob
    from compute.embedding.worker import ShardWorker
    from compute.models.readable import bind
    from compute.storage.run_directory import begin
    from compute.store.reader import CropStore

    opened = CropStore(store)
    [found], _ = bind([card_for(tmp_path, store)], opened, trusted=True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with begin(tmp_path / "run", {}, {}) as run:
            plan = PlanConfig(backgrounds=2, conditions=("unaltered",))
            job = EmbedJob(run.path, store, (found,), plan, EmbedConfig(batch_size=7), "cpu")
            worker = ShardWorker.open(job)
            assert worker.measured()["rounding"] == {"m": None}
            assert sorted(worker.work(worker.missing())) == list(range(worker.count))
            files = run.parts("embeddings", "m")
    finally:
        torch.set_num_threads(before)
    tables = [pq.read_table(file, partitioning=None) for file in files]
    answers = pa.concat_tables(tables).filter(pc.field("condition") == "unaltered").to_pydict()
    assert len(answers["cell"]) == opened.usable.sum()
    images = opened.arrays().images[:, 0].astype(np.float32)
    for cell, (mean, most, spread) in zip(answers["cell"], answers["embedding"], strict=True):
        own = images[cell]
        assert (mean, most, spread) == pytest.approx((own.mean(), own.max(), own.std()), rel=1e-4)


def test_the_program_in_the_documentation_works(tmp_path, loaded):
    text = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("own-model*.md")))
    [shown] = [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "stdin" in block
    ]
    model = loaded(program(tmp_path, "", head=shown))
    expected = torch.cat([crops().mean((2, 3)), crops().std((2, 3), correction=0)], 1)
    assert torch.allclose(model(crops()), expected, atol=1e-6)


@pytest.mark.parametrize("source", ["onnx", "exported", "command"])
def test_the_cards_in_the_documentation_are_cards(tmp_path, source):
    text = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("own-model*.md")))
    [shown] = [
        block
        for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        if f'source = "{source}"' in block
    ]
    assert len(shown.splitlines()) <= 10
    (tmp_path / "m.toml").write_text(shown.replace("…", "0" * 64), "utf-8")
    assert load_card(tmp_path / "m.toml").source == source


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("    write(rows, means * (1 + number))\n", "differently the second time"),
        ("    write(rows, means - means.mean(0) * (len(means) > 1))\n", "another is in the batch"),
    ],
)
def test_a_programs_behaviour_is_tried(tmp_path, then, message):
    with pytest.raises(InputError, match=message):
        load_model(program(tmp_path, then))


def test_a_program_answers_for_its_head_in_the_same_batch(tmp_path, loaded):
    from compute.models.own_answer import BY_NAME, OwnAnswer

    head = HEAD.replace(
        '("embedding", pa.list_(pa.float32()))',
        '("embedding", pa.list_(pa.float32())), ("classes", pa.list_(pa.float32()))',
    )
    then = (
        "    said = [pa.array(list(v), schema[1].type) for v in (means, means * 2)]\n"
        "    answers.write_batch(pa.record_batch([rows, *said], schema))\n"
        "    sys.stdout.flush()\n"
    )
    found = program(tmp_path, then, head, classes=["x", "y"])
    found = replace(found, card=replace(found.card, head="classes"))
    own = OwnAnswer("classes", "logits", ("x", "y"), (1, 0), ("y", "x"), BY_NAME)
    given = crops()
    model = loaded(replace(found, own=own))
    answer = model.with_own(given)
    means = given.mean((2, 3))
    assert torch.allclose(answer[:, :2], means, atol=1e-6)
    assert torch.allclose(answer[:, 2:4], (2 * means).softmax(1).flip(1), atol=1e-6)
    (tmp_path / "embed.py").write_text(HEAD + GOOD, "utf-8")
    with pytest.raises(InputError, match="answered columns row, embedding, not row and classes"):
        loaded(replace(found, own=own))
