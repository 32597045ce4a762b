"""Signs with keys of every kind, the way cosign does, with Python's `cryptography` and no code of ours.

Writes into the directory that it is given. `MANIFEST` is what everything is about.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}'
STATEMENT_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def b64(data):
    return base64.b64encode(data).decode()


def pae(kind, payload):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


KINDS = {
    "p256": (ec.generate_private_key(ec.SECP256R1()), lambda key, data: key.sign(data, ec.ECDSA(hashes.SHA256()))),
    "p384": (ec.generate_private_key(ec.SECP384R1()), lambda key, data: key.sign(data, ec.ECDSA(hashes.SHA384()))),
    "p384-sha256": (ec.generate_private_key(ec.SECP384R1()), lambda key, data: key.sign(data, ec.ECDSA(hashes.SHA256()))),
    "rsa": (rsa.generate_private_key(65537, 2048), lambda key, data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), lambda key, data: key.sign(data)),
}


def statement(predicate_type, predicate):
    subject = [{"name": "ghcr.io/acme/app", "digest": {"sha256": hashlib.sha256(MANIFEST).hexdigest()}}]
    return json.dumps({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": predicate_type,
        "predicate": predicate,
    }).encode()


def envelope(payload, signatures, kind=STATEMENT_TYPE):
    return {"payloadType": kind, "payload": b64(payload), "signatures": [{"keyid": "", "sig": b64(one)} for one in signatures]}


def bundle(hint, **content):
    return {"mediaType": BUNDLE_TYPE, "verificationMaterial": {"publicKey": {"hint": hint}}, **content}


def main(out):
    def write(name, content):
        (out / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    write("manifest.json", MANIFEST)
    digest = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()
    simple = json.dumps({
        "critical": {
            "identity": {"docker-reference": "ghcr.io/acme/app"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }).encode()
    write("simple.json", simple)
    signed = statement("https://sigstore.dev/cosign/sign/v1", {})
    write("statement.json", signed)
    for name, (key, sign) in KINDS.items():
        public = key.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        hint = b64(hashlib.sha256(der).digest())
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        write(f"{name}.pub", pem)
        formats = serialization.PrivateFormat
        for form, ending in ((formats.PKCS8, "key"), (formats.TraditionalOpenSSL, "old.key")):
            if name != "ed25519":
                write(f"{name}.{ending}", key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        write(f"{name}.simple.sig", b64(sign(key, simple)).encode())
        own = envelope(signed, [sign(key, pae(STATEMENT_TYPE, signed))])
        write(f"{name}.dsse.json", own)
        write(f"{name}.bundle.json", bundle(hint, dsseEnvelope=own))
        message = {
            "messageDigest": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(MANIFEST).digest())},
            "signature": b64(sign(key, MANIFEST)),
        }
        write(f"{name}.message.json", bundle(hint, messageSignature=message))
    key, sign = KINDS["p256"]
    formats = serialization.PrivateFormat
    secret = serialization.BestAvailableEncryption(b"passphrase")
    write("p256.encrypted.key", key.private_bytes(serialization.Encoding.PEM, formats.PKCS8, secret))
    # The payload of cosign 2, and a statement under a type that is none: both signed rightly, neither is a statement.
    for name, kind, payload in (
        ("simple", "application/vnd.dev.cosign.simplesigning.v1+json", simple),
        ("plain", "application/json", signed),
    ):
        write(f"confused.{name}.json", envelope(payload, [sign(key, pae(kind, payload))], kind))
    # A statement signed as if it were a message, without its type.
    write("confused.bare.json", envelope(signed, [sign(key, signed)]))
    other, other_sign = KINDS["ed25519"]
    both = [sign(key, pae(STATEMENT_TYPE, signed)), other_sign(other, pae(STATEMENT_TYPE, signed))]
    write("two.dsse.json", envelope(signed, both))
    url_safe = envelope(signed, both[:1])
    url_safe["payload"] = base64.urlsafe_b64encode(signed).decode().rstrip("=")
    url_safe["signatures"][0]["sig"] = base64.urlsafe_b64encode(both[0]).decode()
    write("url-safe.dsse.json", url_safe)


main(pathlib.Path(sys.argv[1]))
