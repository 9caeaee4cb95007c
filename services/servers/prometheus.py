"""Prometheus. Targets are JSON files that tests write into a folder; it reads them at once."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache, found
from services.service import HOST, Command, Place, Service, answers

CONFIG = """\
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ["{folder}/rules/*.yml"]
scrape_configs:
  - job_name: jangbu
    file_sd_configs: [{{ files: ["{folder}/targets/*.json"] }}]
"""


class Prometheus(Service):
    name = "prometheus"
    about = "Prometheus 2 (Debian): metrics, rules"

    def fetch(self, cache: Cache) -> Path:  # noqa: ARG002
        return Path(found("prometheus", "Run `make services-install` as root (Debian: prometheus).")).parent

    def prepare(self, at: Place) -> None:
        for name in ("targets", "rules"):
            (at.folder / name).mkdir()
        (at.folder / "prometheus.yml").write_text(CONFIG.format(folder=at.folder))

    def commands(self, at: Place) -> Mapping[str, Command]:
        options = {
            "config.file": at.folder / "prometheus.yml",
            "storage.tsdb.path": at.data,
            "web.listen-address": f"{HOST}:{at.port}",
        }
        argv = [str(at.software / "prometheus"), *(f"--{name}={value}" for name, value in options.items())]
        return {"main": Command([*argv, "--web.enable-lifecycle", "--log.level=warn"])}

    def is_ready(self, at: Place) -> bool:
        return answers(f"http://{HOST}:{at.port}/-/ready")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}", "targets": str(at.folder / "targets"), "rules": str(at.folder / "rules")}


SERVICE = Prometheus()
