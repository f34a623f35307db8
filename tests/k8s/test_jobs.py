"""The CronJobs: what they do is there to be done, one at a time, and in bounded time."""

from datetime import timedelta
from typing import Any

import pytest
from typer.main import get_command

from deploy.make_secrets import objects
from devstack.layout import SERVICES
from petpro_common.job import jobs_of
from petproctl.main import app
from tests.k8s.rendering import K8S, Manifest, Manifests, containers, labels, name_of, pod

pytestmark = pytest.mark.unit

OF_BOOKING = ("expiry", "partitions", "reminders", "summary", "zone-rules")
NAMES = {
    *(f"petpro-purge-{service}" for service in SERVICES),
    *(f"petpro-{job}-booking" for job in OF_BOOKING),
    "petpro-audit",
    "petpro-reconciliation",
    "petpro-status",
}
AUDITS = ("audit", "reconciliation")
BY_HAND = {"petpro-status"}
"""Never due: moulds for Jobs that a person makes."""
PERIODS = {"*/5": timedelta(minutes=5), "*/15": timedelta(minutes=15)}


def test_all_upkeep_is_there(rendered: Manifests) -> None:
    assert {name_of(job) for job in rendered.of("CronJob")} == NAMES


def test_jobs_never_pile_up(rendered: Manifests) -> None:
    for job in rendered.of("CronJob"):
        spec = job["spec"]
        assert spec["concurrencyPolicy"] == "Forbid", name_of(job)
        assert spec["timeZone"] == "Etc/UTC", name_of(job)
        period = _period(spec["schedule"]).total_seconds()
        assert 0 < spec["startingDeadlineSeconds"] <= period, name_of(job)
        assert 0 < spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < period, name_of(job)
        assert spec["jobTemplate"]["spec"]["backoffLimit"] <= 1, name_of(job)
        assert pod(job)["restartPolicy"] == "Never", name_of(job)
        assert spec.get("suspend", False) == (name_of(job) in BY_HAND), name_of(job)


@pytest.mark.parametrize("service", SERVICES)
def test_a_job_is_one_that_its_service_has(rendered: Manifests, service: str) -> None:
    asked = {
        tuple(container["command"])
        for job in rendered.of("CronJob")
        if name_of(job).endswith(f"-{service}")
        for container in containers(job)
    }
    assert asked == {("job", name) for name in jobs_of(f"petpro_{service}")}


@pytest.mark.parametrize("service", SERVICES)
def test_all_that_writes_to_a_database_can_be_stopped_by_its_services_label(rendered: Manifests, service: str) -> None:
    for job in (each for each in rendered.of("CronJob", "Job") if name_of(each).endswith(f"-{service}")):
        made = job["spec"].get("jobTemplate", job)["metadata"]["labels"]
        for found in (job["metadata"]["labels"], made, labels(job)):
            assert found["app.kubernetes.io/name"] == service, name_of(job)


@pytest.mark.parametrize("service", SERVICES)
def test_a_job_has_the_image_settings_and_secrets_of_its_service(rendered: Manifests, service: str) -> None:
    deployment = rendered.get("Deployment", f"petpro-{service}")
    for job in (each for each in rendered.of("CronJob") if name_of(each).endswith(f"-{service}")):
        (serving,), (working,) = pod(deployment)["containers"], containers(job)
        for field in ("image", "envFrom", "volumeMounts"):
            assert working[field] == serving[field], name_of(job)
        assert working.get("env") == serving.get("env"), name_of(job)
        assert pod(job)["volumes"] == pod(deployment)["volumes"], name_of(job)


def test_the_auditor_understands_what_it_is_told(rendered: Manifests) -> None:
    options = {option for parameter in _audit().params for option in parameter.opts}
    for name in ("petpro-audit", "petpro-reconciliation"):
        (container,) = containers(rendered.get("CronJob", name))
        command, *arguments = container["args"]
        assert command == "audit"
        assert {argument.partition("=")[0] for argument in arguments} <= options


def test_the_auditor_goes_on_where_it_ended_and_once_a_day_looks_at_everything(rendered: Manifests) -> None:
    """What is wrong and left no trace of a change is found by the second alone; the first keeps what it knows."""
    (audit,), (everything,) = (containers(rendered.get("CronJob", f"petpro-{name}")) for name in AUDITS)
    (state,) = [each.removeprefix("--state=") for each in audit["args"] if each.startswith("--state=")]
    assert not [each for each in everything["args"] if each.startswith("--state")]
    (volume,) = [each["name"] for each in audit["volumeMounts"] if state.startswith(f"{each['mountPath']}/")]
    (claim,) = [each for each in pod(rendered.get("CronJob", "petpro-audit"))["volumes"] if each["name"] == volume]
    assert "persistentVolumeClaim" in claim


def test_the_auditor_is_told_where_everything_is(rendered: Manifests) -> None:
    told = rendered.get("ConfigMap", "petpro-settings-auditor")["data"]
    dsns = {f"PETPRO_AUDIT_{service}_DSN".upper() for service in SERVICES}
    needed = {f"PETPRO_AUDIT_{name}" for name in ("PASSWORD_FILE", "PROVIDER_URL", "PROVIDER_KEY_FILE")}
    heard = {str(parameter.envvar) for parameter in _audit().params}
    assert dsns | needed <= told.keys() <= dsns | heard
    assert all("petpro_auditor@postgres-rw" in told[name] for name in dsns)
    for job in (rendered.get("CronJob", name) for name in ("petpro-audit", "petpro-reconciliation")):
        paths = {f"/etc/petpro/secrets/{item['path']}" for source in _secrets(job) for item in source["items"]}
        assert {told["PETPRO_AUDIT_PASSWORD_FILE"], told["PETPRO_AUDIT_PROVIDER_KEY_FILE"]} == paths


def test_the_auditor_may_read_and_no_more(production: Manifests) -> None:
    script = (K8S / "overlays/dev/postgres/databases.sh").read_text()
    assert "CREATE ROLE petpro_auditor LOGIN PASSWORD :'password' IN ROLE pg_read_all_data;" in script
    (cluster,) = production.of("Cluster")
    (role,) = [each for each in cluster["spec"]["managed"]["roles"] if each["name"] == "petpro_auditor"]
    assert role["inRoles"] == ["pg_read_all_data"]
    assert "superuser" not in role
    made = {name_of(each) for each in objects("petpro")}
    assert role["passwordSecret"]["name"] in made


def _audit() -> Any:
    group: Any = get_command(app)
    return group.commands["audit"]


def _secrets(job: Manifest) -> list[Manifest]:
    (volume,) = [each for each in pod(job)["volumes"] if each["name"] == "secrets"]
    return [source["secret"] for source in volume["projected"]["sources"]]


def _period(schedule: str) -> timedelta:
    minute, hour, *_ = schedule.split()
    if minute in PERIODS:
        return PERIODS[minute]
    return timedelta(hours=1) if hour == "*" else timedelta(days=1)
