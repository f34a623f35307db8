"""A service's own keys: the private halves that its secret holds.

They are read at start, and what is wrong with them ends the service there: with a key that signs nothing, or nothing
that others believe, it would be ready and refuse everybody.
"""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from petpro_common.faults import OwnWords

_PEM = re.compile(r"-----BEGIN .+?-----END [A-Z ]+-----", re.DOTALL)


class BadServiceKey(OwnWords, ValueError):
    """A service's own key cannot be read, or others do not know it. The words quote nothing of it."""


def read_private_keys(text: str) -> list[ec.EllipticCurvePrivateKey]:
    """The keys in a secret `service_key`: the one that signs, then those of before. Raises BadServiceKey."""
    return [_read(pem) for pem in _PEM.findall(text) or [text]]


def _read(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its words may quote the key
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadServiceKey("the secret service_key holds something else than private keys of EC P-256 in PEM")
    return key
