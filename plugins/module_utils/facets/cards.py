# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network cards of the node that are a container's while it runs: ``network_cards``.

LXC moves a card into the container's network namespace when it starts, and back under its old name when it ends
(lxc.net.N.type = phys, lxc.container.conf(5)). On the node it is not to be seen meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..host import Box, Host
from ..kernel import namespaces, netlink
from .base import Facet

# LXC numbers interfaces; those of ``network`` have the first numbers.
_FIRST = 1000


class Cards(Facet):
    name = "cards"
    live_rows = ("network_cards",)

    def observe(self, host: Host, boxes: list[Box]) -> dict[str, dict[str, Any]]:
        concerned = [box for box in boxes if box.pid and "network_cards" in box.record.fields]
        if not concerned:
            return {}
        return namespaces.inside(lambda: {box.name: {"network_cards": _found(box)} for box in concerned})

    def lacks(self, host: Host, wanted: Mapping[str, Any], box: Box | None = None) -> list[str]:
        cards = wanted.get("network_cards") or {}
        own = (box.record.fields.get("network_cards") or {}) if box and box.pid else {}
        here = {link.name: link for link in netlink.links().values()} if cards else {}
        found = []
        for card, row in cards.items():
            link, name = here.get(card), row.get("name", card)
            if link is None and card not in own:
                found.append(f"network_cards: {card} is not on this node, or is another container's; delete the entry")
            elif link is not None and (link.addresses or link.gateways):
                found.append(f"network_cards: {card} has addresses of the node's; take them away, or delete the entry")
            elif link is not None and link.master:
                found.append(f"network_cards: {card} is a port of a bridge; take it out, or delete the entry")
            if f"network.{name}.mode" in wanted:
                found.append(f"network_cards: {name} is an interface in network:, too; write another name:")
        return found

    def boot_config(self, host: Host, box: Box) -> list[tuple[str, str]]:
        lines: list[tuple[str, str]] = []
        for index, (card, row) in enumerate((box.record.fields.get("network_cards") or {}).items(), _FIRST):
            keys = (("type", "phys"), ("link", card), ("name", row.get("name", card)), ("flags", "up"))
            lines += [(f"lxc.net.{index}.{key}", value) for key, value in keys]
        return lines


def _found(box: Box) -> dict[str, dict[str, Any]]:
    """The cards that are where they should be. One inside bears no mark, but it is not on the node then."""
    try:
        inside = {link.name for link in netlink.links_of(box.pid or 0).values()}
    except OSError:
        # The container ended while it was looked at.
        return {}
    declared = box.record.fields["network_cards"]
    return {card: row for card, row in declared.items() if row.get("name", card) in inside}
