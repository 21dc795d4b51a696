"""A setting that lists hosts. Pure: standard library only."""

import ipaddress
import re

HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")


def host_list(value: object) -> object:
    """The hosts in a text, separated by commas, each in the form in which it is compared; anything else as it is.

    Raises:
        ValueError: One of them is none.
    """
    if not isinstance(value, str):
        return value
    return frozenset(_host_entry(entry.strip()) for entry in value.split(",") if entry.strip())


def _host_entry(entry: str) -> str:
    """`host` or `host:port` in the form in which it is compared: lower case, IPv6 in brackets, no final dot."""
    host, colon, port = entry, "", ""
    if not _is_ipv6(entry):
        host, colon, port = entry.rpartition(":") if re.search(r":\d+$", entry) else (entry, "", "")
    if port and not 0 < int(port) < 65536:
        raise ValueError(f"{entry!r} has no such port")
    host = host.lower().removesuffix(".")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if _is_ipv6(bare):
        host = f"[{ipaddress.IPv6Address(bare)}]"
    elif not HOST.fullmatch(host):
        raise ValueError(f"{entry!r} is not one")
    return f"{host}{colon}{int(port) if port else ''}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
