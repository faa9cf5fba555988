# SPDX-License-Identifier: GPL-3.0-or-later
"""The publication rules have findings where expected, and the zip passes them and works."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import package
import package_rules
import pytest
import qgis_profile

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("zip") / "changescribe.zip"
    package.build(target)
    return target


def errors(found: list[str]) -> list[str]:
    return [line for line in found if line.startswith("error")]


def test_zip_keeps_all_rules(built: Path):
    assert errors(package_rules.problems_of(built)) == []


def test_zip_holds_what_the_plugin_needs_and_nothing_else(built: Path):
    names = zipfile.ZipFile(built).namelist()
    modules = ("engine/detect/pipeline.py", "engine/systems/bundled/system.py", "ui/dock/dock.py")
    languages = tuple(f"engine/lexicon/languages/{name}.txt" for name in ("de", "es", "fr", "pt"))
    for name in ("plugin.py", *modules, *languages):
        assert f"changescribe/{name}" in names
    for name in ("encoder.onnx", "head.onnx", "text.onnx", "manifest.json", "vocab.txt"):
        assert f"changescribe/resources/models/{name}" in names
    for part in (
        "tests/",
        "scripts/",
        "training/",
        "Makefile",
        "pyproject",
        ".ci",
        ".git",
        ".venv",
    ):
        assert not [name for name in names if part in name]


def test_what_the_shipped_systems_import_is_shipped(built: Path):
    archive = zipfile.ZipFile(built)
    names = set(archive.namelist())
    missing = []
    for name in sorted(names):
        if not name.startswith(("changescribe/engine/systems/", "changescribe/engine/modules/")):
            continue
        for node in ast.walk(ast.parse(archive.read(name))):
            if not isinstance(node, ast.ImportFrom) or not node.level or not node.module:
                continue
            folder = name.split("/")[: -node.level]
            target = "/".join([*folder, *node.module.split(".")])
            if not {f"{target}.py", f"{target}/__init__.py"} & names:
                missing.append((name, node.module))
    assert missing == []


def test_same_sources_give_the_same_bytes(built: Path, tmp_path: Path):
    again = tmp_path / "again.zip"
    package.build(again)
    assert again.read_bytes() == built.read_bytes()


def test_flake8_errors_of_the_security_scan(built: Path, tmp_path: Path):
    zipfile.ZipFile(built).extractall(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--no-cache",
            "--select",
            "E9,F821,F823",
            "--output-format",
            "concise",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_nothing_shipped_imports_what_is_left_out(built: Path):
    left_out = re.compile(
        r"^(?:from|import)\s+\S*\b(?:training|evaluation|synthesis)\b", re.MULTILINE
    )
    with zipfile.ZipFile(built) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                assert not left_out.search(archive.read(name).decode()), name


def test_versions_agree():
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    version = metadata["general"]["version"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{version}"' in project
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert metadata["general"]["qgisMinimumVersion"] == "3.22"
    assert metadata["general"]["qgisMaximumVersion"] == "4.99"


@pytest.mark.parametrize(
    "source",
    [
        "ev" + "al('1')",
        "ex" + "ec('x = 1')",
        "import pickle",
        "from pickle import loads",
        "subprocess.run('ls', shell=True)",
        "tempfile.mktemp()",
        "archive.extractall('/x')",
        "requests.get('https://x', verify=False)",
        "AutoModel.from_pretrained('x/y')",
        "hf_hub_download('x/y', 'z')",
        "ssl._create_unverified_context()",
        "torch.load('x.pt')",
        "os.system('ls')",
        "api_key = 'abcdef0123456789'",
        "x = (",
    ],
)
def test_rules_refuse(source: str):
    assert len(errors(package_rules.source_problems("a.py", source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "dialog.exec()",
        "AutoModel.from_pretrained('x/y', revision='0123')",
        "platform.system()",
        "onnx.load('x.onnx')",
        "password = settings.value('password')",
        "subprocess.run(['ls'], check=True)",
    ],
)
def test_rules_allow(source: str):
    assert package_rules.source_problems("a.py", source) == []


def test_rules_refuse_bad_zips(tmp_path: Path):
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("changescribe/metadata.txt", "[general]\nname=Some plugin\nversion=x\n")
        archive.writestr("changescribe/a.pyc", "")
        archive.writestr("changescribe/run.sh", "")
        archive.writestr("elsewhere/b.py", "")
        archive.writestr("changescribe/.git/config", "")
    found = "\n".join(errors(package_rules.problems_of(bad)))
    for words in (
        "LICENSE is missing",
        "__init__.py is missing",
        "lacks about",
        "says 'plugin'",
        "a.pyc has a forbidden",
        "run.sh has a forbidden",
        "elsewhere/b.py is outside",
        "config is hidden",
        "not of the form",
    ):
        assert words in found


def test_profile_keeps_other_settings_and_enables_the_plugin(tmp_path: Path):
    ini = tmp_path / "QGIS" / "QGIS3.ini"
    ini.parent.mkdir()
    ini.write_text("[UI]\nstate=@ByteArray(a:b%=)\n[qgis]\ncheckVersion=true\n", encoding="utf-8")
    qgis_profile.write_settings(tmp_path)
    lines = ini.read_text(encoding="utf-8").splitlines()
    assert "state=@ByteArray(a:b%=)" in lines
    assert "checkVersion=false" in lines
    assert "changescribe=true" in lines
    # A request to the network, which QGIS 3.40.6 may pay for with a crash on closing.
    assert r"httpsfeedqgisorg\disabled=true" in lines
    assert "downloadMissingFonts=false" in lines


def test_profile_with_a_zip_holds_copies_and_refuses_escapes(built: Path, tmp_path: Path):
    folder = qgis_profile.install_plugin(tmp_path, built)
    assert not folder.is_symlink()
    assert (folder / "metadata.txt").is_file()
    qgis_profile.install_plugin(tmp_path)
    assert folder.resolve() == ROOT
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../escaped.py", "")
    with pytest.raises(ValueError, match="outside the profile"):
        qgis_profile.install_plugin(tmp_path, bad)


def test_qgis_gets_copies_of_the_demo_pair(tmp_path: Path):
    before, after = qgis_profile.demo_pair(target=tmp_path / "demo")
    assert [path.parent for path in (before, after)] == [tmp_path / "demo"] * 2
    assert before.name < after.name
    original = ROOT / "resources" / "demo" / before.name
    assert before.read_bytes() == original.read_bytes()


def test_qgis_gets_onnxruntime_but_keeps_its_own_numpy(tmp_path: Path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("onnxruntime", "numpy"):
        (site / name).mkdir(parents=True)
    packages = qgis_profile.link_packages(tmp_path, tmp_path / "packages")
    assert [path.name for path in packages.iterdir()] == ["onnxruntime"]


def test_zip_runs_in_an_empty_profile(built: Path, tmp_path: Path):
    """Unpack the zip into an empty profile and drive the real QGIS desktop with it."""
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / "headless_run.py"),
            "--package",
            str(built),
            "--profiles",
            str(tmp_path / "profile"),
            "--out",
            str(tmp_path / "run"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "profile/profiles/default/python/plugins/changescribe").is_symlink()
    assert (tmp_path / "run" / "run.shp").is_file()
