#!/bin/sh
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the interfaces whose default route the kernel took from a router advertisement by itself. Daemons that do the
# same in user space (systemd-networkd, NetworkManager) set accept_ra to 0 and need nothing of us.
ip -6 -oneline route show default proto ra 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u |
    while read -r interface; do
        if [ "$(cat "/proc/sys/net/ipv6/conf/$interface/accept_ra")" != 0 ]; then echo "$interface"; fi
    done
