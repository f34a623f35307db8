"""Production's database: what keeps it, what stands in front of it, and how it is brought back."""

from datetime import datetime

import pytest
import yaml

from devstack.layout import SERVICES
from devstack.postgres import SETTINGS
from petpro_common.db import SERVER_MAY_VANISH
from petpro_common.settings import ServiceSettings
from petpro_common.wire import _MOST_PREPARED
from tests.k8s.reach import pods, selects
from tests.k8s.rendering import K8S, Manifest, Manifests, name_of

pytestmark = pytest.mark.unit

PLUGIN = "barman-cloud.cloudnative-pg.io"
SESSIONS_BESIDES = {"booking": 1, "notification": 1}
"""Booking asks whose turn it is to look at zone rules, and notification listens for its streams."""

BACKEND_MIB = 7
"""What a process of the largest service, booking, has of its own (5.8 MB in the mean), and 1 MiB of page tables."""

RECOVERY = K8S / "overlays/production/recovery/cluster.yaml"


def test_three_servers_of_which_two_have_what_was_committed(production: Manifests) -> None:
    spec = _cluster(production)
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1}
    assert spec["enableSuperuserAccess"] is False


def test_the_log_is_kept_outside_of_the_cluster(production: Manifests) -> None:
    (store,) = production.of("ObjectStore")
    assert store["spec"]["retentionPolicy"] == "30d"
    (plugin,) = _cluster(production)["plugins"]
    assert plugin["name"] == PLUGIN
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"]["barmanObjectName"] == name_of(store)
    assert _cluster(production)["postgresql"]["parameters"]["archive_timeout"] == "5min"


def test_a_standby_that_is_away_does_not_fill_the_volume_of_the_log(production: Manifests) -> None:
    spec = _cluster(production)
    kept = _gigabytes(spec["postgresql"]["parameters"]["max_slot_wal_keep_size"])
    # What checkpoints let the log grow to, twice, and what waits for the archive, have to fit beside it.
    assert 0 < kept <= 0.7 * _gigabytes(spec["walStorage"]["size"])


def test_slow_statements_are_logged_without_what_they_were_given(production: Manifests) -> None:
    parameters = _cluster(production)["postgresql"]["parameters"]
    for name in ("log_min_duration_statement", "log_parameter_max_length"):
        assert parameters[name] == SETTINGS[name], "as the dev stack's, whose log a test reads"


def test_a_backup_is_made_each_night(production: Manifests) -> None:
    (backup,) = production.of("ScheduledBackup")
    spec = backup["spec"]
    assert spec["cluster"]["name"] == name_of(production.get("Cluster", "postgres"))
    assert (spec["method"], spec["pluginConfiguration"]["name"]) == ("plugin", PLUGIN)
    seconds, minute, hour, *days = spec["schedule"].split()
    assert (seconds, minute.isdigit(), hour.isdigit(), days) == ("0", True, True, ["*"] * 3)


def test_the_database_can_be_brought_back_as_it_was_at_an_instant(production: Manifests) -> None:
    restored = yaml.safe_load(RECOVERY.read_text())
    recovery = restored["spec"]["bootstrap"]["recovery"]
    datetime.fromisoformat(recovery["recoveryTarget"]["targetTime"])
    (source,) = restored["spec"]["externalClusters"]
    assert source["name"] == recovery["source"]
    assert source["plugin"]["parameters"]["serverName"] == name_of(production.get("Cluster", "postgres"))
    assert source["plugin"]["parameters"]["barmanObjectName"] == name_of(production.of("ObjectStore")[0])
    image = _cluster(production)["imageName"]
    assert restored["spec"]["imageName"] == image, "another server could not read the backup"
    least = int(_cluster(production)["postgresql"]["parameters"]["max_connections"])
    assert int(restored["spec"]["postgresql"]["parameters"]["max_connections"]) >= least
    assert "plugins" not in restored["spec"], "it must not write into the archive that it was made of"


def test_the_server_knows_the_letters_of_all_scripts(production: Manifests) -> None:
    initdb = _cluster(production)["bootstrap"]["initdb"]
    assert initdb == {"encoding": "UTF8", "localeProvider": "builtin", "builtinLocale": "C.UTF-8"}


def test_the_pooler_hands_out_connections_by_the_transaction(production: Manifests) -> None:
    (pooler,) = production.of("Pooler")
    assert pooler["spec"]["pgbouncer"]["poolMode"] == "transaction"
    assert int(pooler["spec"]["pgbouncer"]["parameters"]["max_prepared_statements"]) >= _MOST_PREPARED
    assert pooler["spec"]["instances"] >= 2
    assert name_of(pooler) in _cluster(production)["certificates"]["serverAltDNSNames"], "services verify the name"


def test_the_pooler_takes_all_that_the_most_replicas_open(production: Manifests) -> None:
    (pooler,) = production.of("Pooler")
    pool = ServiceSettings.model_fields["database_pool_size"].default
    with_those_that_commit_for_nobody = 2 * pool
    replicas = 2 * sum(_most_replicas(production).values())  # in an upgrade at the most
    most = int(pooler["spec"]["pgbouncer"]["parameters"]["max_client_conn"])
    assert with_those_that_commit_for_nobody * replicas <= most


def test_a_third_of_the_connections_is_left_at_the_most_replicas(production: Manifests) -> None:
    """For the pods that an upgrade adds, migrations, the auditor, the operator, and people."""
    most = int(_cluster(production)["postgresql"]["parameters"]["max_connections"])
    assert _connections(production) <= most * 2 / 3


def test_the_server_has_the_memory_for_them(production: Manifests) -> None:
    spec = _cluster(production)
    buffers = int(spec["postgresql"]["parameters"]["shared_buffers"].removesuffix("MB"))
    limit = spec["resources"]["limits"]["memory"]
    # The rest is for sorts and vacuum, and keeps pages of files.
    assert _connections(production) * BACKEND_MIB + buffers <= _gigabytes(limit) * 1024 * 3 / 4
    restored = yaml.safe_load(RECOVERY.read_text())
    assert restored["spec"]["resources"] == spec["resources"], "services may be led to it"


def test_the_poolers_are_kept_apart_and_one_at_a_time_is_lost(production: Manifests) -> None:
    (pooler,) = production.of("Pooler")
    affinity = pooler["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (apart,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    budget = production.get("PodDisruptionBudget", "postgres-pooler")["spec"]
    for selector in (budget["selector"], apart["podAffinityTerm"]["labelSelector"]):
        assert [each.name for each in pods(production) if selects(selector, each)] == [name_of(pooler)]


def test_the_pooler_takes_a_silent_machine_for_gone_as_services_do(production: Manifests) -> None:
    (pooler,) = production.of("Pooler")
    parameters = pooler["spec"]["pgbouncer"]["parameters"]
    names = ("tcp_keepidle", "tcp_keepintvl", "tcp_keepcnt", "tcp_user_timeout")
    assert [int(parameters[name]) for name in names] == list(SERVER_MAY_VANISH.values())


def _most_replicas(production: Manifests) -> dict[str, int]:
    return {
        service: production.get("HorizontalPodAutoscaler", f"petpro-{service}")["spec"]["maxReplicas"]
        for service in SERVICES
    }


def _connections(production: Manifests) -> int:
    """Of the poolers, and past them: of each replica the relay's two, and what SESSIONS_BESIDES says."""
    (pooler,) = production.of("Pooler")
    pools = int(pooler["spec"]["pgbouncer"]["parameters"]["default_pool_size"]) * len(SERVICES)
    past = sum(most * (2 + SESSIONS_BESIDES.get(name, 0)) for name, most in _most_replicas(production).items())
    return int(pooler["spec"]["instances"]) * pools + past


def _cluster(production: Manifests) -> Manifest:
    spec: Manifest = production.get("Cluster", "postgres")["spec"]
    return spec


def _gigabytes(size: str) -> int:
    """PostgreSQL's GB is the Gi of Kubernetes."""
    return int(size.removesuffix("GB").removesuffix("Gi"))
