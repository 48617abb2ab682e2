"""Certificates for tests, made by openssl(1): authorities, servers and clients, in one folder."""

import hashlib
import pathlib
import ssl
import subprocess


def openssl(*args, data=None):
    run = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


class Authority:
    """An authority of its own, and what it has signed."""

    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.file = self.folder / (name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30, "-subj", "/CN=" + name,
                "-keyout", self.folder / (name + ".key"), "-out", self.file)

    def sign(self, name, hosts=(), days=30, key="ec", file=None):
        """A certificate for these hosts: (certificate's file, key's file)."""
        file = file or name
        cert, key_file, request = (self.folder / (file + end) for end in (".pem", ".key", ".csr"))
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else ["rsa:2048"]
        openssl("req", "-newkey", *kind, "-nodes", "-subj", "/CN=" + name, "-keyout", key_file, "-out", request)
        extensions = self.folder / (file + ".ext")
        extensions.write_text("subjectAltName=" + ",".join(hosts) + "\n" if hosts else "basicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.folder / (self.name + ".key"), "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", cert)
        key_file.chmod(0o600)
        return cert, key_file


def fingerprint(cert):
    """SHA-256 of the first certificate in a PEM file."""
    der = ssl.PEM_cert_to_DER_cert(pathlib.Path(cert).read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    return hashlib.sha256(der).hexdigest()


def client_context(authority, version=None, cert=None, alpn=None, ciphers=None):
    """What a client of Python's trusts and shows."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # else an end without close_notify is one like any other
    if version:
        context.minimum_version = context.maximum_version = version
    if cert:
        context.load_cert_chain(*map(str, cert))
    if alpn:
        context.set_alpn_protocols(alpn)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class Pki:
    """What all tests share; files that a test changes are its own."""

    def __init__(self, folder):
        self.ca = Authority(folder, "ca")
        self.clients = Authority(folder, "clients")
        self.local = self.ca.sign("local", ("DNS:localhost", "IP:127.0.0.1"))
        self.a = self.ca.sign("a", ("DNS:a.test",))
        self.b = self.ca.sign("b", ("DNS:b.test", "DNS:*.b.test"))
        self.alice = self.clients.sign("alice")
        self.mallory = self.ca.sign("mallory")

    def client(self, **kwargs):
        return client_context(self.ca, **kwargs)
