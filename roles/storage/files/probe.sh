#!/bin/sh
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Usage: probe.sh DIRECTORY. Prints a line for each reason why containers cannot live in DIRECTORY (which need not exist
# yet: then its nearest parent is tried), and leaves nothing behind.
wanted=$1

place=$wanted
until [ -d "$place" ]; do place=$(dirname "$place"); done

options=$(findmnt --noheadings --output OPTIONS --target "$place")
for bad in nosuid nodev noexec ro; do
    case ",$options," in
    *",$bad,"*) echo "$wanted: its filesystem is mounted $bad; mount it without, or give $wanted a filesystem of its own" ;;
    esac
done

# A container's files are made, removed and covered through the overlay. Each leaves a mark of its own on the upper
# layer (a file, a whiteout device, an xattr), and a filesystem that cannot hold them makes the overlay read-only.
scratch=$(mktemp -d "$place/.carve-probe.XXXXXX") || { echo "$wanted: $place cannot be written to"; exit 0; }
# shellcheck disable=SC2016  # $1 belongs to the inner shell
unshare --mount sh -c 'cd "$1" && mkdir -p lower/covered upper work merged && : >lower/removed &&
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work carve-probe merged &&
    : >merged/made && rm merged/removed && rmdir merged/covered && mkdir merged/covered &&
    test -f upper/made && test -c upper/removed && test -d upper/covered' probe "$scratch" >/dev/null 2>&1 ||
    echo "$wanted: its filesystem ($(stat --file-system --format %T "$place")) cannot be the upper layer of an overlay; give it ext4 or xfs"
rm -rf "$scratch"
exit 0
