#!/bin/sh
# Copyright: (c) 2026, Carve contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Tries what Carve needs of the running kernel; prints a line for each thing that is missing, and leaves nothing behind.
# Trying is surer than reading version numbers, configs or module lists: sandboxes and hardened kernels lie in all of them.

try_overlay() {
    scratch=$(mktemp -d) || return
    # shellcheck disable=SC2016  # $1 belongs to the inner shell
    unshare --mount sh -c 'mount -t tmpfs carve-probe "$1" && cd "$1" && mkdir lower upper work merged &&
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work carve-probe merged' probe "$scratch" >/dev/null 2>&1
    tried=$?
    rmdir "$scratch"
    return $tried
}

# On cgroup v2 one file lists the controllers; on v1 each is a mount option of some hierarchy.
has_controller() {
    grep -qsw "$1" /sys/fs/cgroup/cgroup.controllers ||
        awk -v want="$1" '$3 == "cgroup" { n = split($4, option, ","); for (i = 1; i <= n; i++) if (option[i] == want) found = 1 }
                          END { exit !found }' /proc/self/mounts
}

try_overlay || echo "overlayfs: it cannot be mounted; the kernel needs CONFIG_OVERLAY_FS"

unshare --user --map-root-user true 2>/dev/null ||
    echo "user namespaces: none can be made; the kernel needs CONFIG_USER_NS and a user.max_user_namespaces above 0"

for controller in cpu cpuset memory pids; do
    has_controller "$controller" ||
        echo "cgroups: the controller $controller is missing; remove cgroup_disable=$controller from the kernel's command line, or mount it"
done
exit 0
