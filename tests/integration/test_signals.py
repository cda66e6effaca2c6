"""Commands that are stopped at any moment, or that write one output at once.

DEALIAS_ROUNDS says how many rounds each test has.
"""

import os
import random
import shutil
import signal
import sys
import time

import pytest
import torch
import yaml

from dealias.outputs import MANIFEST
from forking import Server
from image_folders import write_image
from reports import write_folders
from runs import CONFIG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes can't fork"),
]

ROUNDS = int(os.environ.get("DEALIAS_ROUNDS", "12"))
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("said")) as server:
        yield server


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    write_folders(folder, count=8)
    return folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def held(path):
    """What is at a path: the content of a file, or of each file of a folder; None if nothing is."""
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return path.read_bytes() if path.exists() else None


def hidden(folder):
    return [str(p) for p in folder.rglob(".*") if p.name != MANIFEST]


def stop_at_random(server, out, commands, check, seed):
    """Stop the second of two commands at random moments; the first must succeed after each.

    Args:
        server: starts them.
        out: the folder that they write to.
        commands: arguments of both.
        check: what to assert of the outputs after a stop.
        seed: of the moments.
    """
    draw = random.Random(seed)
    restore, stopped = commands
    assert server.run(*restore)[0] == 0
    start = time.monotonic()
    assert server.run(*stopped)[0] == 0
    took = time.monotonic() - start
    codes = {}
    for number in range(ROUNDS):
        code, said = server.run(*restore)
        assert code == 0, said
        assert hidden(out) == []
        sent = STOPS[number % len(STOPS)]
        process = server.start(*stopped)
        time.sleep(draw.uniform(0, took))
        process.send(sent)
        code = process.wait(60)
        # One that was stopped as it began has said nothing.
        said = process.said.read_text() if process.said.exists() else ""
        codes[code] = codes.get(code, 0) + 1
        assert code in (0, 128 + sent, -sent), (code, sent, said)
        assert "Traceback" not in said
        if sent != signal.SIGKILL:
            assert hidden(out) == [], (sent, code, said)
        check()
    print(f"{stopped[0]}: {codes}")  # noqa: T201 - for who runs it
    assert server.run(*restore)[0] == 0
    assert hidden(out) == []


def old_or_new(server, out, commands, names):
    """A check that each of some outputs is as one of the commands leaves it, or not there."""
    states = []
    for command in commands:
        assert server.run(*command)[0] == 0
        states.append({name: held(out / name) for name in names})
        assert None not in states[-1].values()
    assert all(states[0][name] != states[1][name] for name in names)

    def check():
        for name in names:
            found = held(out / name)
            assert found is None or found in [state[name] for state in states], name

    return check


def evaluation(maps, side, *more):
    fixed = ["--predictions", maps / side, "--targets", maps / "targets"]
    return ["evaluate", *fixed, "--classes", maps / "five.yaml", *more]


def test_evaluate(server, maps, out):
    files = ["--output", out / "r.json", "--csv", out / "r.csv", "--counts", out / "r.npz"]
    folders = ["--error-maps", out / "maps", "--report", out / "page"]
    more = [*files, *folders, "--images", maps / "images", "--workers", "2", "--overwrite"]
    commands = [evaluation(maps, side, *more) for side in "ab"]
    names = ["r.json", "r.csv", "r.npz", "maps", "page"]
    check = old_or_new(server, out, commands, names)
    stop_at_random(server, out, commands, check, seed=1)


def test_merge(server, maps, out):
    files = ["--output", out / "r.json", "--csv", out / "r.csv", "--counts", out / "r.npz"]
    commands = []
    for side in "ab":
        shards = [maps / f"{side}{index}.npz" for index in (1, 2)]
        for index, shard in enumerate(shards, start=1):
            more = ["--counts", shard, "--shard", f"{index}/2", "--workers", "0", "--overwrite"]
            assert server.run(*evaluation(maps, side, *more))[0] == 0
        commands.append(["merge", *shards, *files, "--overwrite"])
    check = old_or_new(server, out, commands, ["r.json", "r.csv", "r.npz"])
    stop_at_random(server, out, commands, check, seed=2)


@pytest.fixture(scope="module")
def training(server, tmp_path_factory):
    """The arguments of a command on a run of a width."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")

    def arguments(command, output, *more, channels=8):
        width = ["--model.network.channels", channels]
        return [command, "--config", folder / "tiny.yaml", "--output", output, *width, *more]

    code, said = server.run(*arguments("fit", folder / "run"))
    assert code == 0, said
    arguments.checkpoint = folder / "run" / "last.ckpt"
    return arguments


def test_predict(server, training, out, tmp_path):
    commands = []
    for number, side in enumerate("ab"):
        for index in range(4):
            pixels = torch.full((64, 96, 3), 60 * (number + index), dtype=torch.uint8).numpy()
            write_image(tmp_path / side / f"{side}{index}.png", pixels)
        more = ["--ckpt_path", training.checkpoint, "--data.predict_images", tmp_path / side]
        commands.append(training("predict", out / "run", *more, "--overwrite"))
    check = old_or_new(server, out, commands, ["run/predictions"])
    stop_at_random(server, out, commands, check, seed=3)


def widths(run):
    """The widths of the networks of a run's checkpoints and configuration, by file."""
    found = {}
    for path in run.glob("*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        found[path.stem] = checkpoint["hyper_parameters"]["network"]["channels"]
    if (run / "config.yaml").exists():
        options = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        found["config"] = options["model"]["network"]["channels"]
    return found


def test_fit(server, training, out):
    """Checkpoints are of one training, which is that of the configuration beside them."""
    commands = [training("fit", out / "run", "--overwrite", channels=width) for width in (8, 4)]

    def check():
        found = widths(out / "run")
        config = found.pop("config", None)
        assert len(set(found.values())) <= 1
        assert not found or config in found.values()

    stop_at_random(server, out, commands, check, seed=4)


def one_of_two(server, out, commands):
    """Run two commands at once that write to one place: one does, and the other says why not."""
    refusals = []
    for number in range(max(60, ROUNDS)):
        if number >= max(4, ROUNDS) and any(refusals):
            break  # on a busy machine they may run one after the other many times
        shutil.rmtree(out)
        out.mkdir()
        processes = [server.start(*command) for command in commands[:: (-1) ** number]]
        codes = [process.wait() for process in processes]
        said = [process.said.read_text() for process in processes]
        assert sorted(codes) == [0, 2], said
        line = said[codes.index(2)].splitlines()[-1]
        assert "Traceback" not in said[codes.index(2)]
        assert any(why in line for why in ("another process is writing it", "exists", "not empty"))
        refusals.append("another process" in line)
        assert hidden(out) == []
        yield codes.index(0) ^ (number % 2)
    print(f"{sum(refusals)} of {len(refusals)} while the other wrote")  # noqa: T201
    assert any(refusals)


@pytest.mark.parametrize(
    ("option", "name"), [("--report", "page"), ("--error-maps", "maps"), ("--output", "r.json")]
)
def test_two_evaluations(option, name, server, maps, out):
    commands = [evaluation(maps, side, option, out / name, "--workers", "0") for side in "ab"]
    whole = []
    for command in commands:
        assert server.run(*command, "--overwrite")[0] == 0
        whole.append(held(out / name))
    for winner in one_of_two(server, out, commands):
        assert held(out / name) == whole[winner]


def test_two_trainings(server, training, out):
    commands = [training("fit", out / "run", channels=width) for width in (8, 4)]
    for winner in one_of_two(server, out, commands):
        width = (8, 4)[winner]
        assert widths(out / "run") == {"last": width, "best": width, "config": width}
        assert len(list((out / "run").glob("events.out.tfevents.*"))) == 1
