#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs on the board: puts staged files in their places so that it boots at any moment, and takes them out again.
#
#   install.sh apply       $state/stage/list has lines "NUMBER MODE PATH", in this order; NUMBER is a file beside it
#   install.sh rollback    everything as it was before the first apply
#   install.sh amend PATH  from now on standard input is what PATH was before the first apply
#   install.sh state       none, applied, or partial: an apply or a rollback was interrupted
#
# $state/original keeps what was there: its list has lines "NUMBER SUM MODE PATH", SUM is "absent" for no file.
# $state/applied has lines "SUM PATH": a file that is something else now was changed by somebody else.
set -eu
root=${ESP_HOSTED_ROOT:-}
state=$root/var/lib/esp-hosted
original=$state/original

sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

# The old file or the new one, whenever the power goes. $1 is copied to $2 with mode $3.
place() {
    cp "$1" "$2.esp-hosted-new"
    # A FAT file system has no modes, and no links.
    chmod "$3" "$2.esp-hosted-new" 2>/dev/null || :
    # The old file keeps its blocks until nobody can see it any more.
    [ ! -e "$2" ] || ln -f "$2" "$2.esp-hosted-old" 2>/dev/null || :
    sync
    mv -f "$2.esp-hosted-new" "$2"
    settle "$2"
    rm -f "$2.esp-hosted-old"
    sync
}

# A boot loader does not read a file system's journal: freezing writes everything to its place.
settle() {
    sync
    case $1 in
    "$root"/boot/*)
        mount=$(stat -c %m "$1" 2>/dev/null) && command -v fsfreeze >/dev/null || return 0
        fsfreeze -f "$mount" 2>/dev/null || return 0
        until fsfreeze -u "$mount"; do :; done
        ;;
    esac
}

# Makes a directory, and notes which of its parents were not there.
directory() {
    [ ! -d "$root$1" ] || return 0
    directory "$(dirname "$1")"
    echo "$1" >>"$original/made"
    mkdir "$root$1"
}

index() {
    sed -n 's|.* /lib/modules/\([^/]*\)/updates/.*|\1|p' "$original/list" | sort -u | while read -r release; do
        [ ! -d "$root/lib/modules/$release" ] || depmod ${root:+-b "$root"} "$release"
    done
    sync
}

# Replaces the list of originals by standard input.
relist() {
    cat >"$original/list.new"
    sync
    mv -f "$original/list.new" "$original/list"
    sync
}

# Once for each path: a later apply must not take for the original what the first one has put there.
remember() {
    mkdir -p "$original"
    touch "$original/list"
    while read -r _ _ path; do
        ! cut -d ' ' -f 4- "$original/list" | grep -Fqx -- "$path" || continue
        number=$(($(wc -l <"$original/list") + 1))
        line="$number absent - $path"
        if [ -e "$root$path" ]; then
            cp -p "$root$path" "$original/$number"
            line="$number $(sum "$original/$number") $(stat -c %a "$root$path") $path"
        fi
        { cat "$original/list" && echo "$line"; } | relist
    done <"$state/stage/list"
}

apply() {
    remember
    : >"$state/partial"
    : >"$state/applied.new"
    sync
    while read -r number mode path; do
        directory "$(dirname "$path")"
        place "$state/stage/$number" "$root$path" "$mode"
        echo "$(sum "$root$path") $path" >>"$state/applied.new"
    done <"$state/stage/list"
    index
    mv -f "$state/applied.new" "$state/applied"
    sync
    rm -rf "$state/partial" "$state/stage"
    sync
}

# Last in, first out: the boot configuration forgets the overlay before it goes.
rollback() {
    : >"$state/partial"
    sync
    sort -rn "$original/list" | while read -r number was mode path; do
        rm -f "$root$path.esp-hosted-new" "$root$path.esp-hosted-old"
        if [ "$was" = absent ]; then
            rm -f "$root$path"
            sync
        elif [ ! -e "$root$path" ] || [ "$(sum "$root$path")" != "$was" ] ||
            [ "$(stat -c %a "$root$path")" != "$mode" ]; then
            place "$original/$number" "$root$path" "$mode"
        fi
    done
    index
    if [ -e "$original/made" ]; then
        sort -r "$original/made" | while read -r path; do
            rmdir "$root$path" 2>/dev/null || :
        done
    fi
    rm -rf "$state.old"
    mv "$state" "$state.old"
    sync
    rm -rf "$state.old"
}

amend() {
    line=$(grep -F -- " $1" "$original/list" | awk -v path="$1" '$4 == path')
    number=${line%% *}
    cat >"$original/$number.new"
    sync
    mv -f "$original/$number.new" "$original/$number"
    awk -v path="$1" -v new="$(sum "$original/$number")" '$4 == path { $2 = new } { print }' "$original/list" |
        relist
}

# Frozen file systems must not stay so.
trap '' HUP INT TERM
case ${1:-} in
apply)
    rm -rf "$state.old"
    apply
    ;;
rollback) [ ! -e "$original/list" ] || rollback ;;
amend) amend "$2" ;;
state)
    if [ -e "$state/partial" ]; then
        echo partial
    elif [ -e "$state/applied" ]; then
        echo applied
    else
        echo none
    fi
    ;;
*)
    echo "usage: install.sh apply|rollback|amend PATH|state" >&2
    exit 2
    ;;
esac
