#!/bin/bash
# TFTP with other people's programs, byte by byte: our server with curl, tftp-hpa, atftp and busybox; our client with
# tftpd-hpa, atftpd and dnsmasq; as root also over a TUN device, where our stack takes the kernel's place on one side.
# What is not there is skipped, and the script says so.
#
#   tests/interop/tftp.sh [path of the sockeye command]
#
#   PEERS=DIR    where in.tftpd and atftpd are, if not in /usr/sbin: Debian lets only one of them be installed, so the
#                other is unpacked there
#   LARGE=0      leaves out 33 MB (block numbers roll over) and 100 MB
set -u
if [ "$(id -u)" = 0 ] && [ -z "${INSIDE:-}" ]; then
    # A network of its own: any port is free, 69 as well. And mounts of its own, for a disk that is full.
    if unshare --net --mount true 2>/dev/null; then INSIDE=yes exec unshare --net --mount "$0" "$@"; fi
fi
sockeye=$(realpath "${1:-target/debug/sockeye}")
peers=$(realpath -m "${PEERS:-/usr/sbin}")
dir=$(mktemp -d)
chmod 755 "$dir"
pids=()
failed=0
passed=0
skipped=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    ! mountpoint -q "$dir/tiny" || umount "$dir/tiny"
    rm -rf "$dir"
}
trap finish EXIT
if [ -n "${INSIDE:-}" ]; then
    # tftpd-hpa finds no address of its own where there is none but loopback.
    ip link set lo up && ip address add 192.0.2.1/32 dev lo || exit 1
fi

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
skip() { skipped+=("$*"); }
step() { echo "$1 (${SECONDS}s)"; }
same() { # what, file, file
    if cmp -s "$2" "$3"; then ok; else bad "$1"; fi
    rm -f "$3"
}
exits() { # what, wanted exit code, command
    local what=$1 wanted=$2
    shift 2
    timeout 60 "$@" >/dev/null 2>&1
    local code=$?
    if [ $code = "$wanted" ]; then ok; else bad "$what: exit code $code instead of $wanted"; fi
}
have() { command -v "$1" >/dev/null || { skip "$1 is not installed"; return 1; }; }
# Waits until something listens on a UDP port.
listening() {
    for _ in $(seq 200); do
        grep -qi ":$(printf %04X "$1") " /proc/net/udp /proc/net/udp6 && return 0
        sleep 0.05
    done
    bad "nothing listens on port $1"
    return 1
}

mkdir -p "$dir/root" "$dir/got"
chmod 777 "$dir/root"
small="0 1 511 512 513"
# 33.6 MB are 65,625 blocks of 512 octets. The largest is for large blocks and windows.
rollover=33600000
large=104857600
[ "${LARGE:-1}" = 0 ] && { rollover=; large=; skip "33 MB and 100 MB: LARGE=0"; }
for size in $small 5000 70000 $rollover $large; do head -c "$size" /dev/urandom >"$dir/root/$size"; done
printf 'one\ntwo\r\nthree\r' >"$dir/root/text"
printf 'one\r\ntwo\r\0\r\nthree\r\0' >"$dir/netascii"
echo secret >"$dir/secret"
ln -s ../secret "$dir/root/leak"
mkdir "$dir/root/sub"
chmod a+r "$dir"/root/*
cd "$dir/got" || exit 1

### Our server. What each tool can ask for, at ADDRESS PORT; uploads come where $dir/root is.

with_curl() { # address, port
    local url="tftp://$1:$2" size blksize
    get() { # what, size, options
        local what=$1 size=$2
        shift 2
        rm -f out
        touch out # curl makes no file of nothing
        timeout 60 curl -s "$@" -o out "$url/$size" || bad "$what: rc $?"
        same "$what" "$dir/root/$size" out
    }
    for size in $small 5000; do
        for blksize in 8 512 1428 65464; do get "curl $size blksize $blksize $url" "$size" --tftp-blksize $blksize; done
        get "curl $size without options $url" "$size" --tftp-no-options
        timeout 60 curl -s -T "$dir/root/$size" "$url/up-curl" || bad "curl uploads $size: rc $?"
        # It sends nothing for a file of nothing.
        [ "$size" = 0 ] || same "curl uploads $size $url" "$dir/root/$size" "$dir/root/up-curl"
    done
    get "curl 70000 blksize 65464 $url" 70000 --tftp-blksize 65464
    for size in $rollover; do
        get "curl $size blksize 512 $url" "$size"
        timeout 60 curl -s --tftp-blksize 65464 -T "$dir/root/$size" "$url/up-curl"
        same "curl uploads $size blksize 65464 $url" "$dir/root/$size" "$dir/root/up-curl"
    done
    for size in $large; do get "curl $size blksize 65464 $url" "$size" --tftp-blksize 65464; done
    # curl asks for text, and leaves it as it is on the wire.
    timeout 60 curl -s -B -o out "$url/text"
    same "curl netascii $url" "$dir/netascii" out
    exits "curl: not found" 68 curl -s -o out "$url/nothing"
    exits "curl: .." 69 curl -s -o out --path-as-is "$url/../secret"
    exits "curl: a symlink to outside" 69 curl -s -o out "$url/leak"
    exits "curl: a directory" 69 curl -s -o out "$url/sub"
    rm -f out
}
with_hpa() {
    local size
    for size in $small 5000 $rollover; do
        timeout 60 tftp -m binary "$1" "$2" -c get "$size" out >/dev/null
        same "tftp-hpa $size" "$dir/root/$size" out
        timeout 60 tftp -m binary "$1" "$2" -c put "$dir/root/$size" up-hpa >/dev/null
        same "tftp-hpa uploads $size" "$dir/root/$size" "$dir/root/up-hpa"
    done
    timeout 60 tftp -m netascii "$1" "$2" -c get text out >/dev/null
    same "tftp-hpa netascii" "$dir/root/text" out
    timeout 60 tftp -m netascii "$1" "$2" -c put "$dir/root/text" up-hpa >/dev/null
    same "tftp-hpa uploads netascii" "$dir/root/text" "$dir/root/up-hpa"
}
with_atftp() {
    local size blksize window
    ask() { # what, size, options
        local what=$1 size=$2
        shift 2
        timeout 60 atftp "${@:3}" -g -r "$size" -l out "$1" "$2" 2>/dev/null
        same "$what" "$dir/root/$size" out
    }
    tell() {
        local what=$1 size=$2
        shift 2
        timeout 60 atftp "${@:3}" -p -r up-atftp -l "$dir/root/$size" "$1" "$2" 2>/dev/null
        same "$what" "$dir/root/$size" "$dir/root/up-atftp"
    }
    for size in $small 5000; do
        for blksize in 8 512 1428 65464; do
            for window in 1 16 65535; do
                ask "atftp $size blksize $blksize windowsize $window" "$size" "$1" "$2" \
                    --option "blksize $blksize" --option "windowsize $window"
            done
        done
        ask "atftp $size timeout 1 tsize" "$size" "$1" "$2" --option "timeout 1" --option "tsize 0"
        ask "atftp $size timeout 255" "$size" "$1" "$2" --option "timeout 255"
        tell "atftp uploads $size" "$size" "$1" "$2"
        tell "atftp uploads $size blksize 8" "$size" "$1" "$2" --option "blksize 8"
        tell "atftp uploads $size all options" "$size" "$1" "$2" --option "blksize 65464" \
            --option "timeout 255" --option "tsize $size" --option "windowsize 65535"
    done
    for size in $rollover; do
        ask "atftp $size windowsize 64" "$size" "$1" "$2" --option "windowsize 64"
        tell "atftp uploads $size" "$size" "$1" "$2"
    done
    for size in $large; do
        ask "atftp $size blksize 1428 windowsize 64" "$size" "$1" "$2" --option "blksize 1428" \
            --option "windowsize 64"
        ask "atftp $size blksize 8192 windowsize 65535" "$size" "$1" "$2" --option "blksize 8192" \
            --option "windowsize 65535"
        tell "atftp uploads $size blksize 65464" "$size" "$1" "$2" --option "blksize 65464"
    done
}
with_busybox() {
    local size blksize
    for size in $small 5000 $rollover; do
        # Its requests must fit into a block.
        for blksize in 64 512 65464; do
            [ "$size" = "$rollover" ] && [ $blksize = 64 ] && continue
            timeout 60 busybox tftp -b $blksize -g -r "$size" -l out "$1" "$2" 2>/dev/null
            same "busybox $size blksize $blksize" "$dir/root/$size" out
            timeout 60 busybox tftp -b $blksize -p -r up-busybox -l "$dir/root/$size" "$1" "$2" 2>/dev/null
            same "busybox uploads $size blksize $blksize" "$dir/root/$size" "$dir/root/up-busybox"
        done
    done
    for size in $large; do
        timeout 60 busybox tftp -b 65464 -g -r "$size" -l out "$1" "$2" 2>/dev/null
        same "busybox $size blksize 65464" "$dir/root/$size" out
    done
}
# On a port that all transfers share.
with_all_briefly() { # address, port
    local size rollover='' large='' small="0 512 513"
    ! have curl || with_curl "$1" "$2"
    ! have atftp || with_atftp "$1" "$2"
    ! have busybox || with_busybox "$1" "$2"
    ! have tftp || with_hpa "$1" "$2"
}

### Our client. What it asks of a server, which serves $dir/root.

client=("$sockeye")
# Waits until a file is as it should be, or for five seconds: atftpd acknowledges the last block before it writes it.
whole() { # wanted, file
    for _ in $(seq 100); do
        cmp -s "$1" "$2" && return
        sleep 0.05
    done
}
with_server() { # name, address, port, whether it takes uploads, its smallest block size
    local name=$1 url="tftp://$2:$3" size options
    get() {
        local what=$1 size=$2
        shift 2
        rm -f out
        timeout 60 "${client[@]}" tftp get -q "$url/$size" out "$@" || bad "$what: rc $?"
        same "$what" "$dir/root/$size" out
    }
    put() {
        local what=$1 size=$2
        shift 2
        touch "$dir/root/up-ours" && chmod 666 "$dir/root/up-ours"
        timeout 60 "${client[@]}" tftp put -q "$dir/root/$size" "$url/up-ours" "$@" || bad "$what: rc $?"
        whole "$dir/root/$size" "$dir/root/up-ours"
        same "$what" "$dir/root/$size" "$dir/root/up-ours"
    }
    for size in $small 5000; do
        for options in "" "--no-options" "--blksize $5 --windowsize 65535 --timeout 1" \
            "--blksize 65464 --windowsize 65535 --timeout 255"; do
            # shellcheck disable=SC2086 # several options
            get "$name: get $size $options" "$size" $options
            # shellcheck disable=SC2086
            [ "$4" != uploads ] || put "$name: put $size $options" "$size" $options
        done
    done
    get "$name: get 70000 --blksize $5 --windowsize 1" 70000 --blksize "$5" --windowsize 1
    get "$name: get 70000 --blksize 65464 --windowsize 1" 70000 --blksize 65464 --windowsize 1
    for size in $rollover; do
        get "$name: get $size --no-options" "$size" --no-options
        [ "$4" != uploads ] || put "$name: put $size --blksize 512 --windowsize 1" "$size" --blksize 512 --windowsize 1
    done
    for size in $large; do
        get "$name: get $size --blksize 1428 --windowsize 64" "$size" --blksize 1428 --windowsize 64
        get "$name: get $size --blksize 8192 --windowsize 16" "$size" --blksize 8192 --windowsize 16
        [ "$4" != uploads ] || put "$name: put $size --blksize 65464" "$size" --blksize 65464
    done
    timeout 60 "${client[@]}" tftp get -q --netascii "$url/text" out || bad "$name: netascii: rc $?"
    # dnsmasq sends a CR as it is.
    if [ "$name" = dnsmasq ]; then rm -f out; else same "$name: get netascii" "$dir/root/text" out; fi
    if [ "$4" = uploads ]; then
        touch "$dir/root/up-ours" && chmod 666 "$dir/root/up-ours"
        timeout 60 "${client[@]}" tftp put -q --netascii "$dir/root/text" "$url/up-ours" || bad "$name: put netascii: rc $?"
        whole "$dir/root/text" "$dir/root/up-ours"
        same "$name: put netascii" "$dir/root/text" "$dir/root/up-ours"
    fi
    exits "$name: not found" 8 "${client[@]}" tftp get -q "$url/nothing" out
    if [ -e out ]; then bad "$name: something is left of a failed get"; else ok; fi
    # What leads outside is no file, or not allowed: servers differ.
    timeout 60 "${client[@]}" tftp get -q "$url/../secret" out 2>/dev/null && bad "$name: .. was served"
    rm -f out
}
with_servers() { # address to listen on
    if [ "$(id -u)" = 0 ] && [ -x "$peers/in.tftpd" ] && "$peers/in.tftpd" -V 2>&1 | grep -q hpa; then
        "$peers/in.tftpd" --foreground --listen --address "$1:16902" --secure -u root "$dir/root" &
        pids+=($!)
        listening 16902 && with_server tftpd-hpa "$1" 16902 uploads 8
        kill "${pids[-1]}"
    else
        skip "tftpd-hpa: it is not in $peers, or this is not root"
    fi
    if [ -x "$peers/atftpd" ]; then
        "$peers/atftpd" --daemon --no-fork --bind-address "$1" --port 16903 --user "$(id -un)" --group "$(id -gn)" \
            "$dir/root" 2>/dev/null &
        pids+=($!)
        listening 16903 && with_server atftpd "$1" 16903 uploads 512
        kill "${pids[-1]}"
    else
        skip "atftpd is not in $peers"
    fi
    if [ -n "${INSIDE:-}" ] && have dnsmasq; then
        dnsmasq --no-daemon --conf-file=/dev/null --port 0 --enable-tftp --tftp-root="$dir/root" --user=root \
            --listen-address "$1" --bind-interfaces >/dev/null 2>&1 &
        pids+=($!)
        # It knows no other port than 69.
        listening 69 && with_server dnsmasq "$1" 69 no 8
        kill "${pids[-1]}"
    else
        skip "dnsmasq: it is not installed, or this is not root"
    fi
}

step "our server, on the system's sockets"
"$sockeye" tftp serve "$dir/root" --listen '[::]:16900' --upload overwrite >"$dir/log" 2>&1 &
pids+=($!)
"$sockeye" tftp serve "$dir/root" --listen 127.0.0.1:16901 --upload overwrite --single-port >"$dir/log1" 2>&1 &
pids+=($!)
listening 16900 && listening 16901 || exit 1
! have curl || with_curl 127.0.0.1 16900
! have tftp || with_hpa 127.0.0.1 16900
! have atftp || with_atftp 127.0.0.1 16900
! have busybox || with_busybox 127.0.0.1 16900
step "our server, on IPv6 and on one port"
! have curl || rollover='' large='' with_curl '[::1]' 16900
with_all_briefly 127.0.0.1 16901
step "our client, on the system's sockets"
with_server sockeye 127.0.0.1 16900 uploads 8
with_servers 127.0.0.1
exits "nobody there: refused" 4 "$sockeye" tftp get -q tftp://127.0.0.1:16999/f out

empty() { # what, directory
    if [ -z "$(ls -A "$2")" ]; then ok; else bad "$1: something is left"; fi
}
if [ -n "${INSIDE:-}" ]; then
    step "a full disk"
    head -c 300000 /dev/urandom >"$dir/root/300000"
    mkdir "$dir/tiny"
    mount -t tmpfs -o size=128k tmpfs "$dir/tiny" || exit 1
    exits "our disk is full" 10 "$sockeye" tftp get -q tftp://127.0.0.1:16900/300000 "$dir/tiny/out"
    empty "our disk is full" "$dir/tiny"
    "$sockeye" tftp serve "$dir/tiny" --listen 127.0.0.1:16904 --upload >"$dir/log3" 2>&1 &
    pids+=($!)
    listening 16904 || exit 1
    exits "the server's disk is full" 10 "$sockeye" tftp put -q "$dir/root/300000" tftp://127.0.0.1:16904/up
    empty "the server's disk is full" "$dir/tiny"
    ! have curl || exits "the server's disk is full, for curl" 70 curl -s -T "$dir/root/300000" tftp://127.0.0.1:16904/up
    exits "it fits" 0 "$sockeye" tftp put -q "$dir/root/70000" tftp://127.0.0.1:16904/up
    exits "the file exists" 9 "$sockeye" tftp put -q "$dir/root/5000" tftp://127.0.0.1:16904/up
    same "the file that existed" "$dir/root/70000" "$dir/tiny/up"
    step "a signal"
    kill -TERM "${pids[-1]}"
    wait "${pids[-1]}"
    code=$?
    if [ $code = 0 ]; then ok; else bad "SIGTERM: exit code $code"; fi
else
    skip "a full disk: this needs root"
fi
if [ -n "${INSIDE:-}" ] && [ -c /dev/net/tun ]; then
    step "our server, on our stack"
    device=(--net "tun:sock0,addr=10.77.0.2/24")
    "$sockeye" "${device[@]}" tftp serve "$dir/root" --listen 10.77.0.2:69 --upload overwrite >"$dir/log2" 2>&1 &
    pids+=($!)
    for _ in $(seq 200); do
        grep -q listening "$dir/log2" && break
        sleep 0.05
    done
    if have curl; then
        large='' with_curl 10.77.0.2 69
    fi
    with_all_briefly 10.77.0.2 69
    # A polite end: transfers that run are waited for, and there are none.
    kill -TERM "${pids[-1]}"
    wait "${pids[-1]}"
    code=$?
    if [ $code = 0 ]; then ok; else bad "SIGTERM: exit code $code"; fi
    step "our client, on our stack"
    # So that servers can have it before the device is there.
    ip address add 10.77.0.1/32 dev lo
    client=("$sockeye" "${device[@]}")
    small="0 512 513" rollover='' large='' with_servers 10.77.0.1
    exits "nobody there, on our stack: refused" 4 "${client[@]}" tftp get -q tftp://10.77.0.1:16999/f out
else
    skip "our stack: this needs root, a network namespace and /dev/net/tun"
fi

printf 'skipped: %s\n' "${skipped[@]}" | sort -u | grep -v ': $'
echo "$passed passed, $failed failed, in $SECONDS s"
[ "$failed" = 0 ]
