"""`python -m deploy.custom_resources FILE...`: holds objects of operators of others against `deploy/schemas`.

Kubernetes keeps what it does not know of such an object or drops it, in silence, by how the operator was installed: a
field that is spelt wrong would show when a backup is missing. So each schema names the fields that we use, and no
others pass; the file's name is the group, and its kinds are given by the schemas of their `spec`.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from devstack.layout import ROOT

Manifest = Mapping[str, Any]
SCHEMAS = ROOT / "deploy/schemas"
VERSION = "v1"
"""Of every group that we use."""
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def is_custom(manifest: Manifest) -> bool:
    """Whether an operator of others defines this kind: Kubernetes' own groups have no dot, or end in `k8s.io`."""
    group = group_of(manifest)
    return "." in group and not group.endswith(".k8s.io")


def group_of(manifest: Manifest) -> str:
    return str(manifest["apiVersion"].rpartition("/")[0])


def faults(manifest: Manifest) -> Iterator[str]:
    """What is wrong with an object, each with the path to it."""
    name = f"{manifest['kind']} {manifest.get('metadata', {}).get('name')}"
    schema = schemas(group_of(manifest)).get(manifest["kind"])
    if schema is None:
        yield f"{name}: nothing is known of this kind"
        return
    for fault in Draft202012Validator(schema).iter_errors(manifest):
        yield f"{name}: {fault.json_path.removeprefix('$.')}: {fault.message}"


@cache
def schemas(group: str) -> dict[str, Any]:
    """The schema of each kind of a group."""
    file = SCHEMAS / f"{group}.yaml"
    specs: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
    return {kind: _closed(_whole(f"{group}/{VERSION}", kind, spec)) for kind, spec in specs.items()}


def _whole(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": {"type": "string"}, "namespace": {"type": "string"}, "labels": _TEXTS, "annotations": _TEXTS}
    fields = {
        "apiVersion": {"const": version},
        "kind": {"const": kind},
        "metadata": {"required": ["name"], "properties": metadata},
        "spec": spec,
    }
    return {"required": list(fields), "properties": fields}


def _closed(schema: Any) -> Any:
    """The schema with nothing let through that it does not name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    return inner if "properties" not in schema else {"type": "object", "additionalProperties": False, **inner}


def main(files: list[str]) -> int:
    found = [each for file in files for each in yaml.safe_load_all(Path(file).read_text()) if each and is_custom(each)]
    wrong = [fault for each in found for fault in faults(each)]
    for fault in wrong:
        print(fault, file=sys.stderr)
    print(f"{len(found)} objects of operators of others are as deploy/schemas says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
