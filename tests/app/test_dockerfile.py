"""The Dockerfile by the rules that linters of such files have, read without one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from polyrestore.cli.app import app_command

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return each instruction of the Dockerfile with its arguments on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def only(name: str) -> str:
    (found,) = [arguments for each, arguments in instructions() if each == name]
    return found


def test_the_base_is_pinned_and_of_a_version_that_is_supported() -> None:
    found = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-\w+", only("FROM"))
    assert found is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]


def test_nothing_comes_from_an_address_and_everything_is_pinned() -> None:
    names = [name for name, _ in instructions()]
    assert "ADD" not in names
    assert "://" not in " ".join(arguments for name, arguments in instructions() if name != "HEALTHCHECK")
    for name, arguments in instructions():
        if name == "RUN" and "pip install" in arguments:
            assert "-c constraints.txt" in arguments
    assert not [arguments for _, arguments in instructions() if "sudo" in arguments or "apt-get" in arguments]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name, arguments in instructions():
        if name == "COPY":
            for source in arguments.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in kept
    assert kept[0] == "*"


def test_it_is_nobody_that_runs_it_by_the_exec_form() -> None:
    names = [name for name, _ in instructions()]
    assert only("USER") == "10001"
    assert names.index("USER") > max(index for index, name in enumerate(names) if name == "RUN")
    program, command, *options = json.loads(only("ENTRYPOINT"))
    assert (program, command) == ("polyrestore", "app")
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given == {"--host": "0.0.0.0", "--port": only("EXPOSE")}
    assert app_command.__defaults__ is not None
    assert int(given["--port"]) in app_command.__defaults__
    assert all(Path(arguments).is_absolute() for name, arguments in instructions() if name == "WORKDIR")


def test_its_health_is_asked_for_by_the_exec_form() -> None:
    options, _, command = only("HEALTHCHECK").partition(" CMD ")
    assert {"--interval", "--timeout", "--start-period"} <= set(re.findall(r"--[\w-]+", options))
    program, option, code = json.loads(command)
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{only('EXPOSE')}/api/health" in code


def test_the_extras_that_it_installs_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runs = " ".join(arguments for name, arguments in instructions() if name == "RUN")
    (named,) = re.findall(r"\.\[([\w,]+)\]", runs)
    assert "app" in named.split(",")
    assert set(named.split(",")) <= set(project["optional-dependencies"])
