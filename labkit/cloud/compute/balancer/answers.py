"""What the load balancer answers itself: redirects, and pages of its errors.

AWS pages: "Rule action types for your Application Load Balancer"; "Troubleshoot your Application
Load Balancers" (502, 503, 504).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

_REASONS = {
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
Table = dict[str, Any]


def redirect(config: Table, request: web.BaseRequest, port: int) -> web.Response:
    """AWS page: "Rule action types for your Application Load Balancer", redirect actions."""
    host = (request.host or "").partition(":")[0]
    known = {
        "#{protocol}": "http",
        "#{host}": host,
        "#{port}": str(port),
        "#{path}": request.path.lstrip("/"),
        "#{query}": request.query_string,
    }

    def filled(key: str, default: str) -> str:
        text = config.get(key) or default
        for name, value in known.items():
            text = text.replace(name, value)
        return text

    protocol = filled("Protocol", "#{protocol}").lower()
    query = filled("Query", "#{query}")
    place = f"{protocol}://{filled('Host', '#{host}')}:{filled('Port', '#{port}')}"
    location = place + filled("Path", "/#{path}") + (f"?{query}" if query else "")
    status = int(config["StatusCode"].removeprefix("HTTP_"))
    return web.Response(status=status, headers={"Location": location, "Server": "awselb/2.0"})


def error_page(status: int) -> web.Response:
    """What the load balancer itself answers."""
    title = f"{status} {_REASONS[status]}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    headers = {"Server": "awselb/2.0"}
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)
