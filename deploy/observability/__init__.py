"""What Prometheus and Grafana are told: rules with their tests, and dashboards.

| file | holds |
|---|---|
| `rules/slos.yaml` | written by `slos.py`: how much was promised and how fast the allowance is burnt |
| `rules/invariants.yaml` | what must never be, each with its alert |
| `rules/saturation.yaml` | what is full, late or away |
| `rules/cluster.yaml` | jobs that did not end well, by what the cluster itself knows |
| `tests/*.yaml` | promtool's: each alert fires when it must, and is silent otherwise |
| `dashboards/*.json` | written by `boards.py` |

A part is known by its `job`: petpro-<service>, petpro-gateway, petpro-audit. Every alert has a severity (page: now;
ticket: in working hours), a summary and a runbook of its own name in docs/runbooks.
"""
