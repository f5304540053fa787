"""cryptography: what is sent is encrypted and decrypted, signed and verified; and it makes a
certificate."""

import datetime
import json

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FERNET = Fernet(Fernet.generate_key())
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2026, 1, 1)
    return x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(
        KEY.public_key()).serial_number(1).not_valid_before(now).not_valid_after(
        now + datetime.timedelta(days=1)).sign(KEY, hashes.SHA256())


def application(environ, start_response):
    data = environ["wsgi.input"].read()
    signature = KEY.sign(data, ec.ECDSA(hashes.SHA256()))
    KEY.public_key().verify(signature, data, ec.ECDSA(hashes.SHA256()))
    token = FERNET.encrypt(data)
    body = json.dumps({"same": FERNET.decrypt(token) == data, "longer": len(token) > len(data),
                       "name": certificate("Zo\u00eb").subject.rfc4514_string()}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
