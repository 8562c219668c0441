# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of an interface and of a network."""

from __future__ import annotations

from ..kinds import FIREWALL, Field

_SLOWEST, _FASTEST = 64 * 10**3, 32 * 10**9

INTERFACE: tuple[Field, ...] = (
    Field(
        "on", "label", "network", "restart", "The network, by its name in C(networks).", required=True, example="public"
    ),
    Field(
        "ip",
        "addresses",
        "network",
        "live",
        "IPv4 and IPv6 addresses, inside the network's subnets. In the "
        "manifest, a container with C(count) may write a range such as C(203.0.113.10-12), one address each, and "
        "C(auto) is one address of each of the network's subnets, from its pool.",
        owned=True,
        example=["10.20.0.5", "fd00:20::5"],
    ),
    Field(
        "mac",
        "mac",
        "network",
        "restart",
        "The MAC address; worked out from fleet, container and interface unless given.",
        example="02:00:00:aa:bb:cc",
    ),
    Field(
        "rate_in",
        "rate",
        "network",
        "live",
        "The most that the container receives in a second, such as C(10mbit) or C(1gbit).",
        minimum=_SLOWEST,
        maximum=_FASTEST,
        example="100mbit",
    ),
    Field(
        "rate_out",
        "rate",
        "network",
        "live",
        "The most that the container sends in a second.",
        minimum=_SLOWEST,
        maximum=_FASTEST,
        example="20mbit",
    ),
    Field(
        "trusted",
        "bool",
        "network",
        "live",
        "Whether the container may send from any address, as a router does. Otherwise what does not come from its own "
        "IP and MAC addresses is dropped.",
        False,
    ),
)

NETWORK: tuple[Field, ...] = (
    Field(
        "mode",
        "choice",
        "network",
        "restart",
        "C(bridged): interfaces are ports of a bridge that Carve makes; "
        "C(routed): each address is a route on the node, with no bridge and no MAC of the container's to trust.",
        required=True,
        choices=("bridged", "routed"),
    ),
    Field(
        "subnet",
        "subnets",
        "network",
        "restart",
        "The subnets that addresses come from, IPv4 and IPv6.",
        required=True,
        example=["10.20.0.0/24", "fd00:20::/64"],
    ),
    Field(
        "bridge",
        "text",
        "network",
        "restart",
        "The bridge's name on the node, at most 15 characters; for C(bridged).",
        example="br-lan",
    ),
    Field(
        "gateway",
        "addresses",
        "network",
        "live",
        "The default gateway of containers on a C(bridged) network. The "
        "node itself holds it on the bridge, unless the network has an C(uplink).",
        example="10.20.0.1",
    ),
    Field(
        "uplink",
        "text",
        "network",
        "live",
        "A network card of the node that becomes a port of the bridge, so that "
        "the network reaches beyond the node. It must have no address of its own.",
        example="eth1",
    ),
    Field("mtu", "int", "network", "restart", "The largest packet, in bytes.", minimum=1280, maximum=65535),
    Field(
        "firewall",
        "firewall",
        "network",
        "live",
        "Who may speak to whom. C(between) is C(allow) or C(deny): whether containers of this network reach each "
        "other. C(node) is C(allow), C(deny), or the ports of the node's own that they reach, such as "
        "C([tcp/53, udp/53]).",
        FIREWALL,
        example={"between": "deny", "node": ["tcp/53", "udp/53"]},
    ),
)

# What an interface is once its network is known: the rows that are recorded and compared.
RESOLVED_INTERFACE: tuple[Field, ...] = (
    Field("mode", "choice", "network", "restart", "", choices=("bridged", "routed")),
    Field("mac", "mac", "network", "restart", ""),
    Field("mtu", "int", "network", "restart", "", minimum=1280, maximum=65535),
    Field("bridge", "text", "network", "live", ""),
    Field("ip", "lines", "network", "live", "", owned=True),
    Field("gateway", "addresses", "network", "live", "", owned=True),
    Field("rate_in", "rate", "network", "live", ""),
    Field("rate_out", "rate", "network", "live", ""),
    Field("trusted", "bool", "network", "live", ""),
    Field("firewall", "firewall", "network", "live", ""),
)
