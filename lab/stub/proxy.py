"""A CONNECT proxy that terminates TLS for AWS's real host names with its own CA. So the authenticator calls
sts.REGION.amazonaws.com and reaches the emulator."""
import asyncio, datetime as dt, ipaddress, os, re, ssl, sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS = re.compile(rb"(sts|sts-fips|eks|api\.ecr|api\.ecr-public)\.[a-z0-9.-]*")


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def certificate(subject, issuer, key, signer, *extensions):
    now = dt.datetime.now(dt.timezone.utc)
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
               .not_valid_after(now + dt.timedelta(days=30)))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


class Proxy:
    NAME = "lab aws ca"

    def __init__(self, directory, upstream):
        self.directory, self.upstream, self.contexts = directory, upstream, {}
        self.key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        ca = certificate(self.NAME, self.NAME, self.key, self.key, (x509.BasicConstraints(True, 0), True), (usage, True), (identifier, False))
        with open(f"{directory}/aws-ca.crt", "wb") as f:
            f.write(ca.public_bytes(serialization.Encoding.PEM))

    def context(self, host):
        if host not in self.contexts:
            key = ec.generate_private_key(ec.SECP256R1())
            try:
                name = x509.IPAddress(ipaddress.ip_address(host))
            except ValueError:
                name = x509.DNSName(host)
            leaf = certificate(host, self.NAME, key, self.key, (x509.SubjectAlternativeName([name]), False),
                               (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
                               (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))
            path = f"{self.directory}/leaf-{host}.pem"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.write(pem(key) + leaf.public_bytes(serialization.Encoding.PEM))
            self.contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.contexts[host].load_cert_chain(path)
        return self.contexts[host]

    async def serve(self, reader, writer):
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            m = re.match(rb"CONNECT ([^: ]+):443 ", head)
            if not m or not HOSTS.fullmatch(m[1]):
                writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                await writer.drain()
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self.context(m[1].decode()))
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        except Exception as e:
            print("proxy", type(e), e, file=sys.stderr)


async def pump(source, sink):
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except Exception:
        pass
    finally:
        try:
            sink.close()
        except Exception:
            pass
