"""Servers over https: whose certificates are trusted, and why one is not. FFmpeg by itself trusts every one."""

from __future__ import annotations

import os
import socket
import ssl
from urllib.parse import urlsplit

from smsr_runtime.errors import VideoError

_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Debian, Red Hat and others keep the certificates that they trust."""
_SECONDS, _PORT = 10.0, 443


def trusting() -> dict[str, str]:
    """FFmpeg's options to trust what SSL_CERT_FILE names, else the system."""
    files = [file for file in (ssl.get_default_verify_paths().cafile, *_BUNDLES) if file and os.path.isfile(file)]
    return {"tls_verify": "1", **({"ca_file": files[0]} if files else {})}


def explained(name: str, error: VideoError) -> VideoError:
    """The error of opening an address, or why its server is not trusted: FFmpeg calls that an input/output error."""
    refusal = _refusal(name)
    if refusal is None:
        return error
    todo = "if you trust that server, let SSL_CERT_FILE name a file with its certificate"
    return VideoError(name, "a server whose certificate this machine trusts", refusal, todo)


def _refusal(name: str) -> str | None:
    """What Python, which says more, has against the certificate; None where that is not the reason."""
    try:
        address = urlsplit(name)
        place = (address.hostname or "", address.port or _PORT)
        with socket.create_connection(place, timeout=_SECONDS) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=address.hostname).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):  # no such server, or no such address: the first error says so
        return None
    return None
