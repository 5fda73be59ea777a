#!/bin/bash
# TFTP with other people's programs: our server with curl, tftp-hpa, atftp and busybox; our client with tftpd-hpa, atftpd
# and dnsmasq. Byte by byte. What is not installed is skipped, and the script says so.
#
#   tests/interop/tftp.sh [path of the sockeye command]
#   LARGE=1 adds 33 MB (block numbers roll over) and 100 MB.
set -u
sockeye=$(realpath "${1:-target/debug/sockeye}")
dir=$(mktemp -d)
chmod 755 "$dir"
pids=()
failed=0
passed=0
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
same() { # what, file, file
    if cmp -s "$2" "$3"; then ok; else bad "$1"; fi
    rm -f "$3"
}
have() {
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || { echo "skipped: $1 is not installed"; return 1; }
}
# Waits until something listens on a UDP port of 127.0.0.1.
listening() {
    for _ in $(seq 100); do
        grep -qi ":$(printf %04X "$1") " /proc/net/udp /proc/net/udp6 && return 0
        sleep 0.05
    done
    bad "nothing listens on port $1"
    return 1
}

mkdir -p "$dir/root" "$dir/got"
chmod 777 "$dir/root"
sizes="0 1 511 512 513"
[ -n "${LARGE:-}" ] && sizes="$sizes 33600000 104857600"
for size in $sizes; do head -c "$size" /dev/urandom >"$dir/root/$size"; done
printf 'one\ntwo\r\nthree\r' >"$dir/root/text"
echo secret >"$dir/secret"
ln -s ../secret "$dir/root/leak"
chmod a+r "$dir"/root/*
cd "$dir/got" || exit 1

echo "our server"
"$sockeye" tftp serve "$dir/root" --listen 127.0.0.1:16900 --upload overwrite >"$dir/log" 2>&1 &
pids+=($!)
"$sockeye" tftp serve "$dir/root" --listen 127.0.0.1:16901 --single-port >"$dir/log1" 2>&1 &
pids+=($!)
listening 16900 && listening 16901 || exit 1

if have curl; then
    for port in 16900 16901; do
        for size in $sizes; do
            for blksize in 512 1428 65464; do
                rm -f out
                touch out # curl makes no file of nothing
                curl -s --tftp-blksize $blksize -o out "tftp://127.0.0.1:$port/$size" || bad "curl $size rc $?"
                same "curl $size blksize $blksize port $port" "$dir/root/$size" out
            done
            rm -f out
            touch out
            curl -s --tftp-no-options -o out "tftp://127.0.0.1:$port/$size"
            same "curl $size without options port $port" "$dir/root/$size" out
        done
    done
    for size in $sizes; do
        curl -s -T "$dir/root/$size" "tftp://127.0.0.1:16900/up-curl"
        [ "$size" = 0 ] || same "curl uploads $size" "$dir/root/$size" "$dir/root/up-curl"
    done
    curl -s -o out tftp://127.0.0.1:16900/nothing
    [ $? = 68 ] && ok || bad "curl: not found"
    curl -s -o out --path-as-is tftp://127.0.0.1:16900/../secret
    [ $? = 69 ] && ok || bad "curl: .."
    curl -s -o out tftp://127.0.0.1:16900/leak
    [ $? = 69 ] && ok || bad "curl: symlink to outside"
fi
if have tftp; then
    for size in $sizes; do
        tftp -m binary 127.0.0.1 16900 -c get "$size" out >/dev/null
        same "tftp-hpa $size" "$dir/root/$size" out
        tftp -m binary 127.0.0.1 16900 -c put "$dir/root/$size" up-hpa >/dev/null
        same "tftp-hpa uploads $size" "$dir/root/$size" "$dir/root/up-hpa"
    done
    tftp -m netascii 127.0.0.1 16900 -c get text out >/dev/null
    same "tftp-hpa netascii" "$dir/root/text" out
fi
if have atftp; then
    for size in $sizes; do
        for option in "blksize 512" "blksize 1428" "blksize 8192"; do
            for window in 1 16 64; do
                atftp --option "$option" --option "windowsize $window" -g -r "$size" -l out 127.0.0.1 16900 2>/dev/null
                same "atftp $size $option window $window" "$dir/root/$size" out
            done
        done
        atftp -p -r up-atftp -l "$dir/root/$size" 127.0.0.1 16900 2>/dev/null
        same "atftp uploads $size" "$dir/root/$size" "$dir/root/up-atftp"
    done
fi
if have busybox; then
    for size in $sizes; do
        busybox tftp -g -r "$size" -l out 127.0.0.1 16900 2>/dev/null
        same "busybox $size" "$dir/root/$size" out
        busybox tftp -b 1428 -p -r up-busybox -l "$dir/root/$size" 127.0.0.1 16900 2>/dev/null
        same "busybox uploads $size" "$dir/root/$size" "$dir/root/up-busybox"
    done
fi

# Our client with somebody's server.
client() { # name, port, whether it takes uploads
    listening "$2" || return
    for size in $sizes; do
        for options in "" "--no-options" "--blksize 512 --windowsize 1" "--blksize 1428 --windowsize 16" "--blksize 65464 --windowsize 1"; do
            # shellcheck disable=SC2086 # several options
            "$sockeye" tftp get -q "tftp://127.0.0.1:$2/$size" out $options || bad "$1: get $size $options: rc $?"
            same "$1: get $size $options" "$dir/root/$size" out
            [ "$3" = uploads ] || continue
            touch "$dir/root/up-ours" && chmod 666 "$dir/root/up-ours"
            # shellcheck disable=SC2086
            "$sockeye" tftp put -q "$dir/root/$size" "tftp://127.0.0.1:$2/up-ours" $options || bad "$1: put $size $options: rc $?"
            same "$1: put $size $options" "$dir/root/$size" "$dir/root/up-ours"
        done
    done
    "$sockeye" tftp get -q "tftp://127.0.0.1:$2/nothing" out 2>/dev/null
    [ $? = 8 ] && ok || bad "$1: not found"
    [ ! -e out ] && ok || bad "$1: something is left of a failed get"
    # What leads outside is no file, or not allowed: servers differ.
    "$sockeye" tftp get -q "tftp://127.0.0.1:$2/../secret" out 2>/dev/null && bad "$1: ..' was served"
    kill "${pids[-1]}" 2>/dev/null
}
echo "our client"
client sockeye 16900 uploads
if have in.tftpd && /usr/sbin/in.tftpd -V 2>&1 | grep -q hpa; then
    /usr/sbin/in.tftpd --foreground --listen --address 127.0.0.1:16902 --secure -u root "$dir/root" &
    pids+=($!)
    client tftpd-hpa 16902 uploads
fi
atftpd=${ATFTPD:-/usr/sbin/atftpd}
if [ -x "$atftpd" ]; then
    "$atftpd" --daemon --no-fork --bind-address 127.0.0.1 --port 16903 --user root --group root "$dir/root" 2>/dev/null &
    pids+=($!)
    client atftpd 16903 uploads
else
    echo "skipped: atftpd is not installed"
fi
if have dnsmasq; then
    dnsmasq --no-daemon --conf-file=/dev/null --port 0 --enable-tftp --tftp-root="$dir/root" --user=root --listen-address 127.0.0.1 \
        --bind-interfaces >/dev/null 2>&1 &
    pids+=($!)
    # It knows no other port than 69.
    if listening 69; then client dnsmasq 69 no; fi
fi
"$sockeye" tftp get -q tftp://127.0.0.1:16999/f out 2>/dev/null
[ $? = 4 ] && ok || bad "nobody there: refused"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
