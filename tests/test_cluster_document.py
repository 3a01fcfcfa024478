"""What docs/cluster.md says runs and adds up, and the manifest that it names is one for KubeRay."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from benchmarks.batches import HEIGHT_PX, WIDTH_PX
from polyrestore.bulk.engines import ray as engine
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.engines.ray import Facts
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.cli.application import app
from polyrestore.cli.main import run
from tests.test_readme import ROOT, commands
from tests.test_restoring_document import place

__all__ = ["place"]
DOCUMENT = "docs/cluster.md"


class Here:
    """Stands for a cluster: files are restored in this process."""

    given: Any = ()

    def __init__(self, task: RestoreTask, *given: object) -> None:
        Here.given = given
        restorer = task.open()
        self.facts = Facts(task.identity(restorer), restorer.is_bare)
        self.restore = restore_here

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def describe(self) -> str:
        return "workers: this process"


def test_the_command_runs_on_a_cluster(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "RayWorkers", Here)
    (command,) = commands(DOCUMENT, "console")
    assert run(command[1:]) == 0
    assert Here.given == (None, None, None)
    told = capsys.readouterr().out
    assert "workers: this process\n" in told
    assert "1 found: 1 restored" in told
    assert (
        run([*command[1:], "--address", "10.0.0.1:6379", "--workers", "3", "--timeout", "9", "--json"]) == 0
    )
    assert Here.given == ("10.0.0.1:6379", 3, 9.0)
    assert json.loads(capsys.readouterr().out)["skipped"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "dask"], "must be one of local, ray, not 'dask'"),
        (["--address", "auto"], "is for --engine ray"),
        (["--engine", "ray", "--runtime", "auto"], "cannot be had with --engine ray"),
        (["--engine", "ray", "--watch"], "cannot be had with --engine ray"),
        (["--engine", "ray", "--dry-run"], "cannot be had with --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["restore", "damaged", "-o", "out", *options]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_costs_follow_from_what_was_measured() -> None:
    timings = json.loads((ROOT / "benchmarks/results/batches.json").read_text())["modes"]
    fastest = max(each["images_per_second"] for each in timings["2 workers, 1 thread each"])
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([\d.]+) megapixels \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) (hours|days) \|$", text, re.M
    )
    assert [row[0] for row in rows] == ["0.25", "2", "12"]
    costs = re.findall(r"\d[\d,]*", text.partition("these are ")[2].partition(".")[0])
    for (megapixels, rate, hours, length, unit), cost in zip(rows, costs, strict=True):
        share = max(1.0, float(megapixels) * 1e6 / (WIDTH_PX * HEIGHT_PX)) if megapixels != "0.25" else 1.0
        per_hour = fastest / 2 * 3600 / share
        assert number(rate) == pytest.approx(per_hour, rel=0.01)
        assert number(hours) == pytest.approx(1e7 / per_hour, rel=0.01)
        scale = 24 if unit == "days" else 1
        assert float(length) * scale == pytest.approx(1e7 / per_hour / 512, rel=0.05)
        assert number(cost) == pytest.approx(0.04 * 1e7 / per_hour, rel=0.02)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_manifest_is_a_job_whose_command_is_known() -> None:
    job = yaml.safe_load((ROOT / "deploy/kuberay.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", job["metadata"]["name"])
    spec = job["spec"]
    command = shlex.split(spec["entrypoint"])
    assert command[:2] == ["polyrestore", "restore"]
    known = typer.main.get_command(app).commands["restore"]  # type: ignore[attr-defined]
    options = known.make_context("restore", command[2:]).params
    assert (options["engine"], options["address"], options["timeout_s"]) == ("ray", "auto", 600.0)
    cluster = spec["rayClusterSpec"]
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    require_pod(cluster["headGroupSpec"])
    cpus = require_pod(workers)
    assert int(options["workers"]) == workers["maxReplicas"] * cpus


def require_pod(group: dict[str, Any]) -> int:
    """Check a group of nodes, and return how many CPUs each has."""
    assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"]
    assert container["image"]
    assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"]: "/photographs" for volume in pod["volumes"]}
    assert all("claimName" in volume["persistentVolumeClaim"] for volume in pod["volumes"])
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    return int(container["resources"]["requests"]["cpu"])
