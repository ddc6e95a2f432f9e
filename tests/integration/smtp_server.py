"""A real mail server (aiosmtpd) on the loopback address, in a thread, whose answers a test chooses; and a look at what it was sent."""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service import wait_until


def make_certificate(folder, name="127.0.0.1"):
    """A self-signed certificate for the loopback address: its file is what a client trusts. (certificate, key)"""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.IPAddress(ipaddress.ip_address(name))] if name[0].isdigit() else [x509.DNSName(name)]
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.SubjectAlternativeName(names), critical=False)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .sign(key, hashes.SHA256()))
    certificate_path, key_path = Path(folder) / f"{name}.pem", Path(folder) / f"{name}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    certificate_path.chmod(0o644)
    return certificate_path, key_path


@dataclass
class Received:
    connection: int
    sender: str
    recipient: str
    bytes: bytes
    tls: bool
    login: str
    options: list

    @property
    def mail(self):
        """Parsed as strictly as Python's library can: any defect fails."""
        mail = email.message_from_bytes(self.bytes, policy=email.policy.SMTPUTF8.clone(raise_on_defect=True))
        for part in mail.walk():
            assert not part.defects, part.defects
            for name in part:  # parsed when it is asked for
                assert not getattr(part[name], "defects", ()), (name, part[name].defects)
            if not part.is_multipart():
                part.get_content()
        return mail

    @property
    def text(self):
        return self.mail.get_body(("plain",)).get_content()

    @property
    def html(self):
        return self.mail.get_body(("html",)).get_content()

    @property
    def attachments(self):
        """{name: bytes}"""
        return {part.get_filename(): part.get_payload(decode=True) for part in self.mail.iter_attachments()}


class _Session(SMTP):
    """As aiosmtpd has it, but some commands may cut the line."""

    async def smtp_DATA(self, arg):
        if self.event_handler.cut_in_data > 0:
            self.event_handler.cut_in_data -= 1
            await self.push("354 go ahead, for a while")
            await self._reader.readline()
            self.transport.abort()
            return
        await super().smtp_DATA(arg)

    async def smtp_QUIT(self, arg):
        if self.event_handler.silent_quit:
            await asyncio.sleep(self.event_handler.silent_quit)
        await super().smtp_QUIT(arg)


class Server:
    """States: start() -> answering -> stop() -> start() again on the same port. What to answer:

    refuse[address] = "550 ..." to RCPT; data_answers: what the next mails are answered; cut_in_data: so many mails are cut off while
    they are said; cut_after_data: so many are taken whole and answered by a closed line; slow_s: before the answer to a mail.
    """

    def __init__(self, tls=None, users=None, port=0, starttls_required=False, utf8=True, host="127.0.0.1"):
        self.received, self.refuse, self.data_answers, self.connections = [], {}, [], 0
        self.mail_answer = None
        self.cut_in_data = self.cut_after_data = 0
        self.slow_s = self.silent_quit = 0
        self.tls, self.users, self.port, self.utf8, self.host = tls, users, port, utf8, host
        self.starttls_required = starttls_required
        self.open = 0
        self.most_open = 0
        self.lock = threading.Lock()
        self.controller = None

    # ---- aiosmtpd's hooks --------------------------------------------------------------------------------------------

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        if not hasattr(session, "our_number"):
            self.connections += 1
            session.our_number = self.connections
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mail_answer:
            return self.mail_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.refuse.get(address)
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        with self.lock:
            self.open += 1
            self.most_open = max(self.open, self.most_open)
        try:
            await asyncio.sleep(self.slow_s)
        finally:  # also of a client that has gone
            with self.lock:
                self.open -= 1
        [recipient] = envelope.rcpt_tos
        answer = self.data_answers.pop(0) if self.data_answers else "250 2.0.0 queued as 4711"
        if answer.startswith("2"):
            login = session.auth_data.login.decode() if self.users else ""
            self.received.append(Received(session.our_number, envelope.mail_from, recipient, envelope.content, session.ssl is not None,
                                          login, envelope.mail_options))
        if self.cut_after_data > 0:
            self.cut_after_data -= 1
            server.transport.abort()
        return answer

    def _authenticate(self, server, session, envelope, mechanism, data):
        ok = self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=ok, handled=False, auth_data=data)

    # ---- running -----------------------------------------------------------------------------------------------------

    def start(self):
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.tls)
        server = self

        class OurController(Controller):
            def factory(self):
                # enable_SMTPUTF8 allows it in commands as well
                return _Session(self.handler, tls_context=context, require_starttls=server.starttls_required,
                                authenticator=server._authenticate if server.users else None, auth_required=bool(server.users),
                                auth_require_tls=bool(context), enable_SMTPUTF8=server.utf8, hostname="mail.test",
                                decode_data=False)

        self.controller = OurController(self, hostname=self.host, port=self.port or _free(self.host))
        self.controller.start()
        self.port = self.controller.port
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    @property
    def url(self):
        return f"smtp://{self.host}:{self.port}"

    def to(self, address):
        return [one for one in list(self.received) if one.recipient == address]

    def wait_for(self, address, n=1, timeout_s=15):
        return wait_until(lambda: len(self.to(address)) >= n and self.to(address), f"{n} mails to {address}", timeout_s)


def _free(host):
    from service import free_port
    return free_port()


def qr_codes(pdf):
    """What a real decoder reads off the pages of a PDF, in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tickets.pdf"
        path.write_bytes(pdf)
        subprocess.run(["pdftoppm", "-r", "150", "-png", str(path), f"{folder}/page"], check=True)
        codes = []
        for page in sorted(Path(folder).glob("page*.png")):
            out = subprocess.run(["zbarimg", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", str(page)], check=True, capture_output=True)
            codes += out.stdout.decode().split()
        return codes


def pdf_text(pdf):
    out = subprocess.run(["pdftotext", "-", "-"], input=pdf, check=True, capture_output=True)
    return out.stdout.decode()
