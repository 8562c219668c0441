#!/bin/sh
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Usage: device.sh DEVICE DIRECTORY. Prints "mounted" where DIRECTORY is mounted from DEVICE already, "empty" where DEVICE
# may be formatted for it, or else a line for each thing that stands against it. Changes nothing.
device=$1 directory=$2

if [ ! -b "$device" ]; then
    echo "$device: there is no such block device here (lsblk lists them)"
    exit 0
fi
real=$(readlink -f "$device")

if mountpoint --quiet "$directory"; then
    source=$(readlink -f "$(findmnt --noheadings --output SOURCE --mountpoint "$directory" | tail -n 1)")
    if [ "$source" = "$real" ]; then
        echo mounted
    else
        echo "$directory: $source is mounted there, not $device; a name below /dev/disk/by-id stays the same over a boot"
    fi
    exit 0
fi

reasons=$(
    for kind in containers templates; do
        held=$(find "$directory/$kind" -mindepth 1 -maxdepth 1 -printf '%f ' 2>/dev/null)
        [ -z "$held" ] || echo "$directory: holds $kind already, which a mount would hide: ${held% }"
    done
    parts=$(lsblk --noheadings --list --output NAME "$real" | tail -n +2 | tr '\n' ' ')
    [ -z "$parts" ] || echo "$device: has partitions or other devices on it: ${parts% }"
    where=$(findmnt --noheadings --list --output TARGET --source "$real" | tr '\n' ' ')
    [ -z "$where" ] || echo "$device: is mounted at ${where% }"
    ! grep -q "^$real " /proc/swaps || echo "$device: is swap space in use"
    [ -z "$(ls "/sys/class/block/${real##*/}/holders" 2>/dev/null)" ] || echo "$device: is used by another device"
    # Asked of the device itself: udev's memory of it may be old.
    found=$(wipefs --no-act --noheadings --output TYPE,LABEL,UUID "$real" 2>&1 | tr -s ' \n' ' ')
    [ -z "${found% }" ] || echo "$device: is not empty, but holds ${found% }; if it is to go, run: wipefs --all $device"
)
if [ -n "$reasons" ]; then echo "$reasons"; else echo empty; fi
