"""`python -m petpro_gateway envoy|openapi`: compiles the gateway."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import ContractError, read_contracts
from petpro_gateway.envoy import Places, configuration
from petpro_gateway.openapi import document, to_json
from petpro_gateway.policy import PolicyError, read_policy

POLICY = Path(__file__).parent.parent / "policy.yaml"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Compile PetPro's gateway.")
PolicyOption = Annotated[Path, typer.Option(help="What the gateway allows.", exists=True, dir_okay=False)]
OutputOption = Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)]


@app.command()
def envoy(
    listen: Annotated[str, typer.Option(help="HOST:PORT for everybody outside.")],
    admin: Annotated[str, typer.Option(help="HOST:PORT of Envoy's admin; keep it on loopback.")],
    upstream: Annotated[list[str], typer.Option(help="SERVICE=HOST:PORT; once for each service.")],
    output: OutputOption,
    policy: PolicyOption = POLICY,
    metrics: Annotated[str | None, typer.Option(help="HOST:PORT for /metrics and /ready alone.")] = None,
    tls_folder: Annotated[str, typer.Option(help="A folder with tls.crt, tls.key and ca.crt, for the services.")] = "",
    traces: Annotated[str | None, typer.Option(help="HOST:PORT that takes traces, as OTLP over gRPC.")] = None,
) -> None:
    """Write the Envoy configuration."""
    contracts = read_contracts()
    places = Places(
        listen=Address.parse(listen),
        admin=Address.parse(admin),
        upstreams={name: Address.parse(address) for name, _, address in (pair.partition("=") for pair in upstream)},
        metrics=Address.parse(metrics) if metrics else None,
        tls_folder=tls_folder,
        traces=Address.parse(traces) if traces else None,
    )
    config = configuration(contracts, read_policy(policy, contracts), places)
    output.write_text(yaml.safe_dump(config, sort_keys=False, width=10_000))


@app.command()
def openapi(output: OutputOption, policy: PolicyOption = POLICY) -> None:
    """Write the OpenAPI document."""
    contracts = read_contracts()
    output.write_text(to_json(document(contracts, read_policy(policy, contracts))))


def main() -> None:
    try:
        app()
    except (ContractError, PolicyError, ValidationError, ValueError) as fault:
        raise SystemExit(f"petpro_gateway: {fault}") from None


if __name__ == "__main__":
    main()
