"""What processes listen on."""

import ipaddress
from contextlib import suppress

import psutil


def listening(pid: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of the TCP sockets on which a process or its descendants listen."""
    found = []
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.Error):  # it has ended meanwhile
            found += [
                ipaddress.ip_address(socket.laddr.ip)
                for socket in process.net_connections(kind="tcp")
                if socket.status == psutil.CONN_LISTEN
            ]
    return [getattr(address, "ipv4_mapped", None) or address for address in found]
