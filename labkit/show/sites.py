"""The sites: what answers on each host now, asked over HTTP as any visitor would.

In JupyterLab on another machine (Binder, a hub) the browser does not reach the host's port; there
jupyter-server-proxy hands it on. `link` is the one place that knows.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from labkit.lab import LOOPBACK, Lab
from labkit.markup import as_written
from labkit.provision import deploy

PATIENCE_SECONDS = 3.0
# Never through a proxy: the sites are this machine's, or the account's own.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Site:
    """One host and what its site says of itself; `error` when it says nothing."""

    name: str
    instance_id: str
    url: str
    version: str = ""
    commit: str = ""
    colour: str = ""
    error: str = ""


class Sites(list[Site]):
    """The sites of all hosts, as a table in a notebook."""

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
        rows = "".join(_row(site) for site in self)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return as_written(table)

    def __repr__(self) -> str:
        return (
            "\n".join(f"{site.name}  {site.url}  {site.error or _said(site)}" for site in self)
            or "No host runs."
        )


_COLUMNS = ("Host", "Site", "Version", "Commit", "Colour")


def sites(lab: Lab) -> Sites:
    """Ask every host's site for its version."""
    return Sites(ask(**site) for site in deploy.sites(lab))


def ask(instance_id: str, name: str, url: str) -> Site:
    """Ask one site for its version: GET /api/version."""
    try:
        with _opener.open(f"{url}/api/version", timeout=PATIENCE_SECONDS) as answer:
            said: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        return Site(name, instance_id, url, error=f"answers {error.code}")
    except (OSError, ValueError):
        return Site(name, instance_id, url, error="does not answer")
    return Site(
        name,
        instance_id,
        url,
        version=str(said.get("version", "")),
        commit=str(said.get("commit", ""))[:8],
        colour=str(said.get("colour", "")),
    )


def link(url: str) -> str:
    """The address under which this notebook's browser reaches a site of this machine.

    AWS knows nothing of it: it is jupyter-server-proxy's `/proxy/PORT/`, needed where Jupyter is
    served below a prefix (`JUPYTERHUB_SERVICE_PREFIX`), that is, from some other machine.
    """
    prefix, place = os.environ.get("JUPYTERHUB_SERVICE_PREFIX"), urlsplit(url)
    if prefix and place.hostname in LOOPBACK and place.port:
        return f"{prefix.rstrip('/')}/proxy/{place.port}/"
    return url


def _row(site: Site) -> str:
    href = escape(link(site.url), quote=True)
    anchor = f'<a href="{href}" target="_blank" rel="noopener">{escape(site.url)}</a>'
    if site.error:
        cells = f'<td colspan="3">✘ {escape(site.error)}</td>'
    else:
        cells = (
            f"<td>{escape(site.version)}</td><td><code>{escape(site.commit)}</code></td>"
            f"<td>{_swatch(site.colour)}{escape(site.colour)}</td>"
        )
    return f"<tr><td>{escape(site.name)}</td><td>{anchor}</td>{cells}</tr>"


def _swatch(colour: str) -> str:
    return (
        f'<span aria-hidden="true" style="display:inline-block;width:1em;height:1em;'
        f"border:1px solid #767676;background:{escape(colour, quote=True)};"
        f'vertical-align:-2px;margin-right:6px"></span>'
        if colour
        else ""
    )


def _said(site: Site) -> str:
    return f"version {site.version} ({site.commit}, {site.colour})"
