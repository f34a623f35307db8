"""What the gateway allows, as one checked file; see `policy.yaml` beside the package for what each word means."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from petpro_gateway.descriptors import Contracts, Method


class PolicyError(Exception):
    """The policy does not fit the contracts."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bucket(_Part):
    """A token bucket: `burst` calls at once, and `per_second` again every second."""

    burst: PositiveInt
    per_second: PositiveInt


class RateLimits(_Part):
    """How much is let in: over everybody, and of single methods from one client address; of the pages both."""

    everything: Bucket
    pages: Bucket = Bucket(burst=100, per_second=20)
    pages_per_address: Bucket = Bucket(burst=20, per_second=2)
    per_address: dict[str, Bucket] = {}


class Timeouts(_Part):
    """Seconds until a call ends; they become the gRPC deadline upstream, but for streams, which end by themselves."""

    default_seconds: PositiveFloat = 5
    streams_seconds: PositiveFloat = 300
    methods: dict[str, PositiveFloat] = {}


class Tokens(_Part):
    """The access tokens that people carry."""

    issuer: str
    audience: str
    refresh_keys_seconds: PositiveInt = 5
    keep_keys_seconds: PositiveInt = 86_400
    clock_skew_seconds: PositiveInt = 5
    remembered: PositiveInt = 1000


class Cors(_Part):
    """Web origins that may call from a browser; `*` stands for any run of letters, digits, dots, dashes and colons."""

    origins: tuple[str, ...] = ()


class Limits(_Part):
    body_bytes: PositiveInt = 1 << 18
    public_body_bytes: PositiveInt = 1 << 16
    response_bytes: PositiveInt = 8 << 20
    connections: PositiveInt = 10_000
    upstream_requests: PositiveInt = 256
    upstream_streams: PositiveInt = 4000
    memory_bytes: PositiveInt = 384 << 20


class Policy(_Part):
    """The whole policy."""

    public: frozenset[str]
    also_reachable: frozenset[str] = frozenset()
    tokens: Tokens
    timeouts: Timeouts = Timeouts()
    rate_limits: RateLimits
    limits: Limits = Limits()
    cors: Cors = Cors()
    trusted_proxies: int = Field(default=0, ge=0)
    traced_percent: float = Field(default=100, ge=0, le=100)

    def timeout_seconds(self, method: Method) -> float:
        usual = self.timeouts.streams_seconds if method.streaming else self.timeouts.default_seconds
        return self.timeouts.methods.get(method.full_name, usual)


def read_policy(file: Path, contracts: Contracts) -> Policy:
    """Reads and checks a policy. Raises PolicyError or pydantic's ValidationError when it is wrong."""
    policy = Policy.model_validate(yaml.safe_load(file.read_text()))
    unknown = sorted(set(_named(policy)) - set(contracts.methods))
    if unknown:
        raise PolicyError(f"no contract has these methods: {', '.join(unknown)}")
    return policy


def reachable(contracts: Contracts, policy: Policy) -> tuple[Method, ...]:
    """The methods that may be called from outside: those with an HTTP binding, and those the policy adds."""
    methods = contracts.methods.values()
    return tuple(each for each in methods if each.bindings or each.full_name in policy.also_reachable)


def _named(policy: Policy) -> Iterator[str]:
    yield from policy.public
    yield from policy.also_reachable
    yield from policy.timeouts.methods
    yield from policy.rate_limits.per_address
