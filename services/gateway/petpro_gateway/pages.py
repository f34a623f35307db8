"""The pages that the gateway serves itself: the OpenAPI document, and one that shows it to people."""

import base64
import hashlib
import importlib.resources
import re

from petpro_gateway.descriptors import Contracts
from petpro_gateway.openapi import document, to_json
from petpro_gateway.policy import Policy

Page = tuple[str, str, dict[str, str]]
"""Content type, body, further headers."""


def pages(contracts: Contracts, policy: Policy) -> dict[str, Page]:
    """All pages by their paths."""
    html = (importlib.resources.files("petpro_gateway") / "docs.html").read_text()
    return {
        "/openapi.json": ("application/json", to_json(document(contracts, policy)), {}),
        "/docs": ("text/html; charset=utf-8", html, {"content-security-policy": _content_rules(html)}),
    }


def _content_rules(html: str) -> str:
    """The page may run its own script and style and ask its own origin, and nothing else."""
    script, style = (_hash(_inner(html, tag)) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _inner(html: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    if not found:
        raise ValueError(f"docs.html has no <{tag}>")
    return found[1]


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
