#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run make in a bare Debian of another release: scripts/chroot_test.sh RELEASE [make arguments]
#
# As root, with debootstrap. Makes the release in $CHROOTS/RELEASE (/var/tmp/chroots) unless it is
# there, clones the last commit into it, and runs make: by default test-plugin, which also installs
# QGIS. trixie is Debian 13, sid unstable; for a release of another distribution name its archive:
# MIRROR=http://... COMPONENTS=main,universe. Delete the folder to start from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

release="${1:?Usage: scripts/chroot_test.sh RELEASE [make arguments]}"
shift
[ $# -gt 0 ] || set -- test-plugin
root="${CHROOTS:-/var/tmp/chroots}/$release"

# This machine's archive and proxies, for apt; its settings and certificates, for pip.
if [ ! -e "$root/.ready" ]; then
    # shellcheck disable=SC2016 # apt fills it in
    mirror="${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' | head -n 1)}"
    rm -rf "$root"
    mkdir -p "$root"
    # Its own variable has the same name.
    env -u COMPONENTS debootstrap --variant=minbase --components="${COMPONENTS:-main}" "$release" "$root" ${mirror:+"$mirror"}
    {
        apt-config dump | grep -E '^Acquire::https?::' || true
        # Snapshots and mirrors that lag are fine for a test.
        echo 'Acquire::Check-Valid-Until "false";'
        echo 'Acquire::Check-Date "false";'
    } >"$root/etc/apt/apt.conf.d/99host"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    mkdir -p "$root/etc/xdg" "$root/usr/local/share/ca-certificates"
    for path in /etc/pip.conf /etc/xdg/pip /usr/local/share/ca-certificates; do
        [ ! -e "$path" ] || cp -rL "$path" "$root$(dirname "$path")/"
    done
    chroot "$root" apt-get update -q
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -q --no-install-recommends ca-certificates git make
    touch "$root/.ready"
fi

rm -rf "$root/srv/changescribe"
git clone -q --depth 1 "file://$PWD" "$root/srv/changescribe"

# The mounts and whatever the tests start end with this process.
# shellcheck disable=SC2016 # expanded inside
exec env -u CHANGESCRIBE_DATA -u DISPLAY -u WAYLAND_DISPLAY -u XDG_RUNTIME_DIR -u TMPDIR -u PIP_CACHE_DIR HOME=/srv \
    unshare --mount --pid --fork --kill-child bash -c '
    set -euo pipefail
    root="$1"
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" make -C /srv/changescribe "$@"' bash "$root" "$@"
