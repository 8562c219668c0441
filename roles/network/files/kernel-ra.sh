#!/bin/sh
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the interfaces whose IPv6 default route the kernel took from a router advertisement by itself. Daemons that do
# the same in user space (systemd-networkd, NetworkManager) need nothing of us, and their routes lack the flag.
# Fields: destination, its prefix length, source, its prefix length, next hop, metric, references, uses, flags, interface.
awk '$1 ~ /^0+$/ && $2 == "00" && $9 ~ /^...[4-7c-f]/ && $10 != "lo" { print $10 }' /proc/net/ipv6_route | sort -u # RTF_ADDRCONF
