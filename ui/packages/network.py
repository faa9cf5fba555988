# SPDX-License-Identifier: GPL-3.0-or-later
"""QGIS's proxy and certificates, as environment variables for pip.

Other users of the computer could read the proxy's password on a command line.
"""

from __future__ import annotations

import os
from urllib.parse import quote

from qgis.core import QgsApplication, QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkProxy


def proxy_environment(proxy: QNetworkProxy, excluded: list[str]) -> dict[str, str]:
    """Return the variables for a proxy; empty if QGIS has none of its own.

    pip finds the proxy of the operating system (QGIS's "default proxy") itself. ``excluded`` are
    URLs that bypass the proxy.
    """
    if not proxy.hostName():
        return {}
    socks = proxy.type() == QNetworkProxy.ProxyType.Socks5Proxy
    login = ""
    if proxy.user():
        password = f":{quote(proxy.password(), safe='')}" if proxy.password() else ""
        login = f"{quote(proxy.user(), safe='')}{password}@"
    port = f":{proxy.port()}" if proxy.port() else ""
    url = f"{'socks5h' if socks else 'http'}://{login}{proxy.hostName()}{port}"
    variables = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "http_proxy": url, "https_proxy": url}
    hosts = ",".join(filter(None, (QUrl(text).host() or text.strip() for text in excluded)))
    if hosts:
        variables["NO_PROXY"] = variables["no_proxy"] = hosts
    return variables


def certificates_environment(folder: str) -> dict[str, str]:
    """Return PIP_CERT if the user added certificates to QGIS, and pip has no setting already.

    ``folder`` is for the file of all trusted certificates.
    """
    if os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE"):
        return {}
    manager = QgsApplication.authManager()
    if manager.isDisabled():
        return {}
    if not list(manager.extraFileCAs()) and not list(manager.databaseCAs()):
        return {}
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "certificates.pem")
    with open(path, "wb") as stream:
        stream.write(bytes(manager.trustedCaCertsPemText()))
    return {"PIP_CERT": path}


def network_environment(folder: str) -> dict[str, str]:
    """Return QGIS's network settings for pip; call it on the main thread.

    ``folder`` is for a temporary file of certificates.
    """
    manager = QgsNetworkAccessManager.instance()
    variables = proxy_environment(manager.fallbackProxy(), list(manager.excludeList()))
    variables.update(certificates_environment(folder))
    return variables
