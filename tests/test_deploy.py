"""What lies in deploy/ is read by Docker, Prometheus and Grafana: here it is held against what Covey has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

from bus.consumer.metrics import ConsumerMetrics
from bus.metrics import Metrics
from cli import cli
from settings import PREFIX, Settings, load

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
DASHBOARDS: Final = sorted(DEPLOY.glob("grafana/dashboards/*.json"))
COMPOSE: Final[Mapping[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PROMETHEUS: Final[Mapping[str, Any]] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
ALERTS: Final[list[Mapping[str, Any]]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
OPERATE: Final = (ROOT / "docs/operate.md").read_text()


def _covey_services() -> dict[str, Mapping[str, Any]]:
    return {name: service for name, service in COMPOSE["services"].items() if service["image"] == "covey"}


def _samples() -> Mapping[str, set[str]]:
    """The labels of every series a process can tell, by the series' name."""
    consumers = CollectorRegistry()
    ConsumerMetrics(consumers)
    collectors = [*Metrics().registry._collector_to_names, *consumers._collector_to_names]
    names: dict[str, set[str]] = {}
    for collector in collectors:
        assert isinstance(collector, MetricWrapperBase)
        labels = set(collector._labelnames)
        for metric in collector.describe():
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
            names |= {
                f"{metric.name}{ending}": labels | ({"le"} if ending == "_bucket" else set()) for ending in endings
            }
    return names


def _expressions() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for dashboard in DASHBOARDS:
        for panel in json.loads(dashboard.read_text())["panels"]:
            yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))


@pytest.mark.parametrize(("where", "expression"), list(_expressions()))
def test_every_metric_and_label_that_is_asked_for_exists(where: str, expression: str) -> None:
    samples = _samples()
    of_the_scrape = {"instance", "role", "job"}
    asked = set(re.findall(r"\bcovey_\w+", expression))

    assert asked <= samples.keys()
    known = set().union(*(samples[name] for name in asked)) | of_the_scrape
    grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", labels)}
    matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    assert grouped | matched <= known


def test_every_metric_is_explained() -> None:
    # A consumer's are explained where consumers are.
    names = {name for name in _samples() if not name.endswith(("_bucket", "_count", "_sum"))}
    names |= {name.removesuffix("_count") for name in _samples() if name.endswith("_count")}
    explained = OPERATE + (ROOT / "docs/consumers.md").read_text()

    assert [name for name in sorted(names) if f"`{name}" not in explained] == []


def test_every_alert_has_its_chapter() -> None:
    chapters = {heading.lower() for heading in re.findall(r"^### (\w+)$", OPERATE, re.MULTILINE)}

    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/operate.md#{alert['alert'].lower()}"
        assert alert["alert"].lower() in chapters
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_setting_that_compose_gives_is_one_and_would_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for service in _covey_services().values():
        given = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in service["environment"].items()}
        assert {name for name in given if name.startswith(PREFIX)} == given.keys()
        assert {name.removeprefix(PREFIX).lower() for name in given} <= Settings.model_fields.keys()
        settings = load(**{name.removeprefix(PREFIX).lower(): value for name, value in given.items() if value})
        assert settings.shared


def test_compose_runs_in_production_too_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = {
        "mode": "production",
        "payer_url": "https://healthcare.example.com",
        "payer_api_key": "live_key",
        "public_url": "wss://covey.example.com/graphql",
        "jwt_jwks_url": "https://login.example.com/keys",
        "cursor_key": "c" * 32,
    }
    for service in _covey_services().values():
        given = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in service["environment"].items()}
        found = {name.removeprefix(PREFIX).lower(): value for name, value in given.items() if value}
        assert needed.keys() <= {name.removeprefix(PREFIX).lower() for name in given}
        assert not load(**found | needed).development


def test_every_command_that_compose_runs_exists() -> None:
    for service in _covey_services().values():
        words = [str(word) for word in service["command"]]
        names = words[: next((place for place, word in enumerate(words) if word.startswith("-")), len(words))]
        command: Any = get_command(cli)
        for name in names:
            command = command.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options


def test_prometheus_asks_every_process_where_it_listens() -> None:
    asked = {
        (target, scrape["labels"]["role"])
        for job in PROMETHEUS["scrape_configs"]
        for scrape in job["static_configs"]
        for target in scrape["targets"]
    }
    served = set()
    for name, service in _covey_services().items():
        role, *options = service["command"]
        if role in {"serve", "worker"}:
            network = service.get("network_mode", f"service:{name}").removeprefix("service:")
            served.add((f"{network}:{options[options.index('--port') + 1]}", role))

    assert asked == served
    assert {job["job_name"] for job in PROMETHEUS["scrape_configs"]} == {"covey"}
    assert [(DEPLOY / name).is_file() for name in PROMETHEUS["rule_files"]] == [True]


def test_compose_names_only_services_volumes_and_files_that_are_there() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys()
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        build = service.get("build")
        assert build is None or (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_image_holds_every_room() -> None:
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}

    assert rooms | {"web", "requirements.txt", "pyproject.toml"} <= {line.removeprefix("!") for line in kept}


def test_grafana_finds_its_dashboard_and_its_data() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((provisioning / "dashboards/covey.yml").read_text())["providers"]
    grafana = COMPOSE["services"]["grafana"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])

    assert source["url"] == "http://prometheus:9090" and "prometheus" in COMPOSE["services"]
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).name in [dashboard.name for dashboard in DASHBOARDS]
    for dashboard in DASHBOARDS:
        panels = json.loads(dashboard.read_text())["panels"]
        assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {source["uid"]}
        assert len({panel["id"] for panel in panels}) == len(panels)
