#!/usr/bin/env bash
# The tutorials' upper-casing programs in Python, each with ours on the other side: their clients with our server, our
# client with their servers, on the system's sockets and over TUN.
#
#   tests/interop/upper.sh [path of the sockeye command]
set -u
sockeye=$(realpath "${1:-target/debug/sockeye}")
export LC_ALL=C.UTF-8
unset SOCKEYE_NET NO_COLOR
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
have python3 || { summary; exit; }
have ip && in_namespace "$sockeye"

# theirs PROGRAM ARGUMENT...
theirs() { start them python3 -u "$here/upper/$@"; }
# The person at the client NAME says something, and the answer comes: asks NAME TEXT ANSWER WHAT.
asks() {
    say "$1" "$2"
    if hears "$1" "$3"; then ok "$4: $3"; else bad "$4: no $3: $line"; fi
}

# serve PLACE FLAGS LISTEN ADDRESS: our server, and their clients, whatever way they leave.
serve() {
    local place=$1 flags=$2 listen=$3 address=$4 port
    # shellcheck disable=SC2086 # flags are several words, or none
    start us "$sockeye" $flags upper serve "$listen:0"
    notes us "listening at" || { bad "$place: ours does not listen: $line"; stop us KILL; return; }
    line=${line%%;*}
    port=${line##*:}
    theirs client_one.py "$address" "$port"
    asks them python PYTHON "$place, one client"
    asks them "你好 abc" "你好 ABC" "$place, one client"
    end_input them
    ends them
    theirs client_many.py "$port" "$address"
    say them "   "
    hears them "不能发送空消息" || bad "$place: an empty line: $line"
    asks them first FIRST "$place, the first of many"
    stop them KILL
    theirs client_many.py "$port" "$address"
    asks them second SECOND "$place, the next after an abrupt end"
    end_input them
    ends them
    for text in python first second; do
        hears us "$text" || bad "$place: ours does not tell of $text: $line"
    done
    stop us INT
    if [ "$code" = 130 ]; then ok "$place: ours ends at Ctrl-C"; else bad "$place: exit code $code"; fi
}
# connect PLACE FLAGS BIND ADDRESS: their servers, and our client.
connect() {
    local place=$1 flags=$2 bind=$3 address=$4 turn
    [[ $address == *:* ]] && address="[$address]"
    theirs server_one.py "$bind" $((++port))
    hears them "服务端开始运行" || { bad "$place: theirs does not listen: $line"; stop them KILL; return; }
    # shellcheck disable=SC2086
    start us "$sockeye" $flags upper connect "$address:$port"
    asks us python PYTHON "$place, their server for one"
    hears them "客户端发来的信息是 python" || bad "$place: theirs does not tell: $line"
    asks us "你好 abc" "你好 ABC" "$place, their server for one"
    end_input us
    # It would go on for ever, and ours not wait for it: what comes after our end is an empty message to it.
    hears them "客户端发来的信息是 你好 abc"
    stop them KILL
    ends us
    if [ "$code" = 0 ]; then ok "$place: ours ends with its input"; else bad "$place: exit code $code"; fi
    theirs server_many.py $((++port)) $bind
    hears them "服务端开始运行" || { bad "$place: theirs does not listen: $line"; stop them KILL; return; }
    for turn in first second; do
        # shellcheck disable=SC2086
        start us "$sockeye" $flags upper connect "$address:$port"
        asks us "$turn" "${turn^^}" "$place, their server for many"
        say us Q
        ends us
        if [ "$code" = 0 ]; then ok "$place: ours ends with Q"; else bad "$place: exit code $code"; fi
        hears them "服务端开始运行" || bad "$place: theirs does not go on: $line"
    done
    stop them KILL
}

port=19300
serve "IPv4" "" 127.0.0.1 127.0.0.1
serve "IPv6" "" "[::1]" ::1
connect "IPv4" "" 127.0.0.1 127.0.0.1
connect "IPv6" "" ::1 ::1
if can_tun; then
    tun="--net tun:sock0,addr=10.77.0.2/24,addr6=fd77::2/64"
    serve "TUN, IPv4" "$tun" 0.0.0.0 10.77.0.2
    serve "TUN, IPv6" "$tun" "[::]" fd77::2
    connect "TUN, IPv4" "$tun" 0.0.0.0 10.77.0.1
    connect "TUN, IPv6" "$tun" :: fd77::1
else
    echo "skipped: TUN (root, a network namespace and /dev/net/tun are needed)"
fi
summary
