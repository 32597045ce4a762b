"""Checks an envelope against a public key with Python's `cryptography`, and prints its payload.

Usage: check.py ENVELOPE KEY. What is signed is put together here, from DSSE's `protocol.md`.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

with open(sys.argv[1], "rb") as file:
    envelope = json.load(file)
with open(sys.argv[2], "rb") as file:
    key = serialization.load_pem_public_key(file.read())
payload = base64.b64decode(envelope["payload"], validate=True)
kind = envelope["payloadType"].encode()
signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
(signature,) = envelope["signatures"]
assert list(signature) == ["sig"], signature
key.verify(base64.b64decode(signature["sig"], validate=True), signed, ec.ECDSA(hashes.SHA256()))
sys.stdout.buffer.write(payload)
