# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rates of cards, in network namespaces of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.carve.vps.plugins.module_utils.kernel import links, namespaces, netlink, shaping, syscalls

END, OTHER, THROUGH = "v20-eth0", "v21-eth0", "i20-eth0"


def alone(work: Callable[[], None]) -> None:
    def run() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        with links.routes() as ipr:
            for name in (END, OTHER):
                ipr.link("add", ifname=name, kind="veth", peer={"ifname": f"x{name}"})
        work()

    namespaces.inside(run)


def indexes() -> dict[str, int]:
    return {link.name: index for index, link in netlink.links(routes=False).items()}


def test_rates_are_found_as_they_were_set_and_change_in_place() -> None:
    def work() -> None:
        for rate in (20_000_000, 50_000_000, 64_000, 32_000_000_000, 8_000_008):
            for _again in range(2):
                shaping.limit_sent(END, rate)
                shaping.limit_received(END, THROUGH, rate, mtu=9000)
                at = indexes()
                assert shaping.root_rates() == {at[END]: rate, at[THROUGH]: rate}
                assert shaping.led_through(at[END]) == at[THROUGH]
                assert shaping.led_through(at[OTHER]) is None
        assert netlink.links()[at[THROUGH]].up

    alone(work)


def test_a_rate_that_is_lifted_leaves_nothing() -> None:
    def work() -> None:
        before = set(indexes())
        shaping.limit_sent(END, 10**6)
        shaping.limit_received(END, THROUGH, 10**6)
        for _again in range(2):
            shaping.limit_sent(END, None)
            shaping.limit_received(END, THROUGH, None)
            assert (shaping.root_rates(), shaping.led_through(indexes()[END])) == ({}, None)
        assert set(indexes()) == before

    alone(work)


def test_what_is_half_gone_is_made_whole() -> None:
    def work() -> None:
        shaping.limit_received(END, THROUGH, 10**6)
        links.remove_link(THROUGH)
        assert shaping.led_through(indexes()[END]) not in indexes().values()
        shaping.limit_received(END, THROUGH, 10**6)
        at = indexes()
        assert (shaping.led_through(at[END]), shaping.root_rates()) == (at[THROUGH], {at[THROUGH]: 10**6})

    alone(work)


def test_a_card_that_is_not_there_is_named() -> None:
    for call in (lambda: shaping.limit_sent("nothing0", 10**6), lambda: shaping.limit_received("nothing0", "i", 10**6)):
        with pytest.raises(OSError, match="no network card nothing0"):
            alone(call)
    assert shaping.led_through(10**6) is None


def test_what_a_kernel_lacks_follows_from_its_list_of_modules(tmp_path: Path) -> None:
    assert shaping.lacking(str(tmp_path / "none")) == frozenset()
    wanted = {name for names in shaping.MODULES.values() for name in names}
    (tmp_path / "modules.builtin").write_text("kernel/net/sched/sch_tbf.ko\n", encoding="ascii")
    (tmp_path / "modules.dep").write_text("kernel/net/sched/act_mirred.ko.xz:\nkernel/x/ifbx.ko:\n", encoding="ascii")
    loaded = {name for name in wanted if Path("/sys/module", name).exists()}
    assert shaping.lacking(str(tmp_path)) == wanted - {"sch_tbf", "act_mirred"} - loaded
