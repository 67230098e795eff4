#!/bin/sh
# SPDX-License-Identifier: MIT
# Once, at a card's first start. Each step may be done again if the power goes before the last one.
set -eu
user=$(cat /usr/lib/image/user)
if [ ! -e /etc/ssh/ssh_host_ed25519_key ]; then
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
fi
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
install -d -m 700 -o "$user" -g "$user" "/home/$user/.ssh"
install -m 600 -o "$user" -g "$user" /usr/lib/image/authorized_keys "/home/$user/.ssh/authorized_keys"

# The card is larger than its image.
root=$(findmnt --noheadings --output SOURCE /)
name=${root#/dev/}
if [ -e "/sys/class/block/$name/partition" ]; then
    disk=/dev/$(basename "$(dirname "$(readlink -f "/sys/class/block/$name")")")
    echo ',+' | sfdisk --quiet --no-reread --no-tell-kernel --partno "$(cat "/sys/class/block/$name/partition")" "$disk" || :
    partx --update "$disk" || :
    resize2fs "$root" || :
fi
sync
rm /usr/lib/image/authorized_keys
sync
