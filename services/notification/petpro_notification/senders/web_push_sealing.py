"""What a browser alone can read: a message sealed for its keys (RFC 8291), in one record (RFC 8188)."""

import base64
import os

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_CURVE = ec.SECP256R1()
_RECORD_BYTES = 4096
_LAST_RECORD = b"\x02"


def sealed(message: bytes, p256dh: str, auth: str) -> bytes:
    """The message for the browser that has these keys. A key and a salt of their own make it another each time."""
    return sealed_with(message, p256dh, auth, ec.generate_private_key(_CURVE), os.urandom(16))


def sealed_with(message: bytes, p256dh: str, auth: str, own_key: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The same with a key and a salt that are given, which serve for nothing else."""
    browser, ours = _decoded(p256dh), own_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = own_key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, browser))
    input_key = _derived(shared, _decoded(auth), b"WebPush: info\0" + browser + ours, 32)
    key = _derived(input_key, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(input_key, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes([len(ours)]) + ours
    return header + AESGCM(key).encrypt(nonce, message + _LAST_RECORD, None)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
