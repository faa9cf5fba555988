# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of weights: fetch, import, verify, remove; no partial file ever looks whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from weights_server import CONTENT, SHA256, Server, make_entry, running

from changescribe.engine.errors import CancelledError, InputError, OutputError, WeightsError
from changescribe.engine.hosts import worker_process
from changescribe.engine.weights import fetch as fetching
from changescribe.engine.weights import store as storing
from changescribe.engine.weights.catalogue import TRANSFORMERS_FOLDER, Entry
from changescribe.engine.weights.store import WeightsStore, default_folder, use_folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        yield server


def a_store(folder: Path, *entries: Entry) -> WeightsStore:
    return WeightsStore(folder / "store", {entry.id: entry for entry in entries})


def state_of(store: WeightsStore, identifier: str = "small-clip") -> str:
    return store.state(identifier).state


def test_fetched_once_then_present(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server))
    assert state_of(store) == "absent"
    assert [stored.entry.id for stored in store.missing(["small-clip"])] == ["small-clip"]
    stored = store.fetch("small-clip")
    assert stored.state == "present"
    assert (stored.size, stored.sha256) == (len(CONTENT), SHA256)
    assert store.path("small-clip").read_bytes() == CONTENT
    assert store.missing(["small-clip"]) == ()
    record = json.loads((store.folder / "small-clip" / "record.json").read_text())
    assert record["origin"] == server.url("file/weights.pt")
    store.fetch("small-clip")
    assert len(server.requests) == 1


def test_what_is_missing_is_named_with_size_terms_and_the_ways_to_get_it(
    server: Server, tmp_path: Path
) -> None:
    store = a_store(tmp_path, make_entry(server))
    with pytest.raises(WeightsError) as caught:
        store.path("small-clip")
    assert caught.value.message == "Small CLIP is missing: weights.pt, 288 kB."
    for words in (
        '"Download"',
        "models fetch small-clip",
        "Import from folder",
        "models import",
        "Terms: For tests.",
    ):
        assert words in caught.value.hint
    assert caught.value.exit_code == 2


def test_without_a_sha256_nothing_is_fetched(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server, sha256=None))
    with pytest.raises(WeightsError, match="could not be verified") as caught:
        store.fetch("small-clip")
    assert server.url("file/weights.pt") in caught.value.hint
    assert server.requests == []


def test_wrong_bytes_leave_nothing_that_looks_whole(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server, "wrong"))
    with pytest.raises(WeightsError):
        store.fetch("small-clip")
    assert state_of(store) == "absent"
    assert [path.name for path in (store.folder / "small-clip").iterdir()] == ["record.json"]


def test_an_interrupted_download_is_absent_and_resumes(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 0, 0, 0]
    store = a_store(tmp_path, make_entry(server))
    with pytest.raises(WeightsError):
        store.fetch("small-clip")
    assert state_of(store) == "absent"
    store.fetch("small-clip")
    assert server.ranges[-1] == "bytes=1000-"
    assert state_of(store) == "present"


def test_damage_is_noticed_and_mended(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server))
    path = store.fetch("small-clip").path
    store.path("small-clip")
    path.write_bytes(b"x" + CONTENT[1:])
    os.utime(path, (1, 1))
    assert state_of(store) == "present"  # the size alone does not show it
    assert store.verify("small-clip").state == "damaged"
    with pytest.raises(WeightsError, match="is damaged: the SHA-256"):
        store.path("small-clip")
    path.write_bytes(CONTENT[:100])
    assert state_of(store) == "damaged"
    with pytest.raises(WeightsError, match="its size is wrong"):
        store.path("small-clip")
    store.fetch("small-clip")
    assert store.path("small-clip").read_bytes() == CONTENT


def test_a_file_is_read_once_a_process(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path, make_entry(server))
    store.fetch("small-clip")
    store.path("small-clip")

    def fail(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(storing.files, "sha256_of", fail)
    WeightsStore(store.folder, store.entries).path("small-clip")


# --- import ----------------------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Files on a USB stick."""
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "weights.pt").write_bytes(CONTENT)
    (folder / "readme.txt").write_text("other")
    return folder


def test_import_from_a_folder_or_another_store(server: Server, tmp_path: Path, stick: Path) -> None:
    store = a_store(tmp_path, make_entry(server), make_entry(server, id="other", file="other.pt"))
    imported = store.import_from(stick)
    assert [(stored.entry.id, stored.sha256) for stored in imported] == [("small-clip", SHA256)]
    assert store.path("small-clip").read_bytes() == CONTENT
    assert (stick / "weights.pt").exists()
    second = a_store(tmp_path / "second", *store.entries.values())
    assert second.import_from(store.folder)[0].state == "present"
    assert server.requests == []


def test_import_of_the_wrong_file_is_refused_but_the_right_ones_stay(
    server: Server, tmp_path: Path, stick: Path
) -> None:
    (stick / "other.pt").write_bytes(b"x" + CONTENT[1:])
    store = a_store(tmp_path, make_entry(server, id="other", file="other.pt"), make_entry(server))
    with pytest.raises(WeightsError, match="not the expected file") as caught:
        store.import_from(stick)
    assert "Imported: Small CLIP." in caught.value.hint
    assert SHA256 in caught.value.details
    assert [stored.state for stored in store.states()] == ["absent", "present"]
    assert [path.name for path in (store.folder / "other").iterdir()] == []


def test_an_unknown_sha256_is_computed_shown_and_watched(
    server: Server, tmp_path: Path, stick: Path
) -> None:
    entry = make_entry(server, sha256=None, size=None)
    store = a_store(tmp_path, entry)
    (stored,) = store.import_from(stick / "weights.pt")
    assert stored.sha256 == SHA256
    record = store.folder / "small-clip" / "record.json"
    assert json.loads(record.read_text())["files"][""]["sha256"] == SHA256
    path = store.path("small-clip")
    path.write_bytes(b"x" + CONTENT[1:])
    os.utime(path, (1, 1))
    with pytest.raises(WeightsError, match="damaged"):
        store.path("small-clip")
    record.unlink()
    assert store.state("small-clip").reason.startswith("its origin was not recorded")


def test_a_known_prefix_must_fit(server: Server, tmp_path: Path, stick: Path) -> None:
    entry = make_entry(server, sha256=None, size=None, sha256_prefix=SHA256[:8])
    assert a_store(tmp_path, entry).import_from(stick)[0].state == "present"
    wrong = replace(entry, sha256_prefix="0" * 8)
    with pytest.raises(WeightsError, match="not the expected file") as caught:
        a_store(tmp_path / "b", wrong).import_from(stick)
    assert "expected 00000000..." in caught.value.details


def test_a_file_of_any_name_for_one_id(server: Server, tmp_path: Path, stick: Path) -> None:
    file = (stick / "weights.pt").rename(stick / "renamed.bin")
    store = a_store(tmp_path, make_entry(server), make_entry(server, id="other", file="other.pt"))
    with pytest.raises(WeightsError, match="no weights") as caught:
        store.import_from(file)
    assert "weights.pt, other.pt" in caught.value.hint
    assert store.import_from(file, ["small-clip"])[0].path.name == "weights.pt"


def test_a_cancelled_import_leaves_nothing(server: Server, tmp_path: Path, stick: Path) -> None:
    store = a_store(tmp_path, make_entry(server))
    with pytest.raises(CancelledError):
        store.import_from(stick, cancelled=lambda: True)
    assert state_of(store) == "absent"
    assert list((store.folder / "small-clip").iterdir()) == []


def test_a_folder_of_transformers(server: Server, tmp_path: Path) -> None:
    model = tmp_path / "stick" / "small-model"
    model.mkdir(parents=True)
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "modeling.py",
        "pytorch_model.bin",
    ):
        (model / name).write_text(name)
    (model / "onnx").mkdir()
    entry = make_entry(
        server,
        id="small-model",
        file="small-model",
        sha256=None,
        size=None,
        format=TRANSFORMERS_FOLDER,
    )
    store = a_store(tmp_path, entry)
    store.import_from(tmp_path / "stick")
    path = store.path("small-model")
    # No code, and no pickles where there are safetensors.
    assert sorted(p.name for p in path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    (path / "model.safetensors").write_text("model.safetensorX")
    os.utime(path / "model.safetensors", (1, 1))
    with pytest.raises(WeightsError, match=r"SHA-256 of model\.safetensors"):
        store.path("small-model")
    store.import_from(model, ["small-model"])
    assert store.path("small-model") == path


def a_folder_entry(server: Server) -> Entry:
    return make_entry(
        server, id="model", file="model", sha256=None, size=None, format=TRANSFORMERS_FOLDER
    )


def test_links_out_of_the_folder_are_not_imported(
    server: Server, tmp_path: Path, stick: Path
) -> None:
    private = tmp_path / "private.json"
    private.write_text("secret")
    model = tmp_path / "usb" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "notes.json").symlink_to(private)
    store = a_store(tmp_path, a_folder_entry(server), make_entry(server))
    with pytest.raises(WeightsError, match="link to a file outside the folder"):
        store.import_from(tmp_path / "usb", ["model"])
    assert state_of(store, "model") == "absent"
    (tmp_path / "usb" / "weights.pt").symlink_to(stick / "weights.pt")
    with pytest.raises(WeightsError, match="link to a file outside the folder"):
        store.import_from(tmp_path / "usb", ["small-clip"])
    # A link that the user names is the user's choice.
    store.import_from(tmp_path / "usb" / "weights.pt", ["small-clip"])


def test_the_links_of_a_hub_cache_are_followed(server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "models--a--b"
    snapshot, blobs = cache / "snapshots" / "0123", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "aa").write_text("{}")
    (snapshot / "config.json").symlink_to(Path("../../blobs/aa"))
    store = a_store(tmp_path, a_folder_entry(server))
    store.import_from(snapshot, ["model"])
    assert not (store.path("model") / "config.json").is_symlink()


@pytest.mark.parametrize("shard", ["../../private.safetensors", "/etc/passwd", "missing.bin", 7])
def test_an_index_of_files_elsewhere_is_refused(
    shard: object, server: Server, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    index = {"weight_map": {"a": shard}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="names files that are not in its folder"):
        a_store(tmp_path, a_folder_entry(server)).import_from(model, ["model"])


# --- remove, lock, folder --------------------------------------------------------------------


def test_remove(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server))
    assert not store.remove("small-clip")
    store.fetch("small-clip")
    assert store.remove("small-clip")
    assert state_of(store) == "absent"
    with pytest.raises(InputError, match="no weights named"):
        store.remove("nonsense")


HOLD = """
import sys
from changescribe.engine.weights.files import locked
from pathlib import Path
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_fetch_the_same_file(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server))
    store.folder.mkdir()
    lock = str(store.folder / "small-clip.lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        for action in (store.fetch, store.remove):
            with pytest.raises(WeightsError, match="by another ChangeScribe"):
                action("small-clip")
        other.kill()  # the operating system releases a dead process's lock
        other.wait()
    assert store.fetch("small-clip").state == "present"


def test_two_threads_do_not_either(server: Server, tmp_path: Path) -> None:
    store = a_store(tmp_path, make_entry(server, "slow"))
    begun, stop = threading.Event(), threading.Event()

    def fetch() -> None:
        with pytest.raises(CancelledError):
            store.fetch("small-clip", lambda _: begun.set(), stop.is_set)

    thread = threading.Thread(target=fetch)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(WeightsError, match="by another"):
        store.fetch("small-clip")
    stop.set()
    thread.join()


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(OutputError, match="CHANGESCRIBE_WEIGHTS"):
        a_store(tmp_path, make_entry(server)).fetch("small-clip")


def test_where_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHANGESCRIBE_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, expected in (
        ("linux", tmp_path / "data" / "changescribe" / "weights"),
        ("win32", tmp_path / "local" / "changescribe" / "weights"),
        ("darwin", Path.home() / "Library/Application Support/changescribe/weights"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert default_folder() == expected
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "named"))
    assert WeightsStore().folder == tmp_path / "named"
    use_folder(tmp_path / "setting")
    try:
        assert default_folder() == tmp_path / "setting"
        worker = worker_process._environment(sys.executable)
        assert worker["CHANGESCRIBE_WEIGHTS"] == str(tmp_path / "setting")
    finally:
        use_folder(None)


def test_a_head_is_imported_only_for_the_system_that_it_was_trained_for(tmp_path: Path) -> None:
    def head(system: str) -> Path:
        path = tmp_path / "model.safetensors"
        metadata = json.dumps({"system": system})
        header = json.dumps({"__metadata__": {"changescribe": metadata}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        return path

    store = WeightsStore(tmp_path / "store")
    (stored,) = store.import_from(head("lgcd"), ["lg-cd-head"])
    with pytest.raises(WeightsError, match=r'model\.safetensors" was trained for .*"textscd"'):
        store.import_from(head("textscd"), ["lg-cd-head"])
    (tmp_path / "model.safetensors").write_text("nothing of the kind")
    with pytest.raises(WeightsError, match=r'"model\.safetensors" was not made by'):
        store.import_from(tmp_path / "model.safetensors", ["lg-cd-head"])
    # What was there stays.
    assert store.verify("lg-cd-head") == stored


def test_the_folder_of_a_training_run_is_imported_by_what_its_weights_say(tmp_path: Path) -> None:
    def weights(name: str, system: str) -> None:
        metadata = json.dumps({"system": system, "file": name})
        header = json.dumps({"__metadata__": {"changescribe": metadata}}).encode()
        (tmp_path / name).write_bytes(len(header).to_bytes(8, "little") + header)

    store = WeightsStore(tmp_path / "store")
    weights("model.safetensors", "lgcd")
    # What the dock's "Import from folder" asks for: all that the system lacks.
    ids = ["sam2.1-hiera-tiny", "lg-cd-head"]
    (stored,) = store.import_from(tmp_path, ids)
    assert stored.entry.id == "lg-cd-head"
    assert b"model.safetensors" in stored.path.read_bytes()
    weights("best.safetensors", "lgcd")
    (stored,) = store.import_from(tmp_path, ids)
    assert b"best.safetensors" in stored.path.read_bytes()
    with pytest.raises(WeightsError, match=r'system "lgcd", not for TextSCD'):
        store.import_from(tmp_path, ["textscd-head"])
    with pytest.raises(WeightsError, match="There are no weights"):
        store.import_from(tmp_path, ["textscd-head", "clip-vit-b-32-openai"])
    # Other weights are not copied.
    for name in ("best.safetensors", "model.safetensors"):
        (tmp_path / name).write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match="There are no weights"):
        store.import_from(tmp_path, ["textscd-head"])
