#!/usr/bin/env bash
# sockeye chat with other people's programs: ncat, socat and nc (OpenBSD's), each as the one who listens and as the one
# who connects, over TCP, UDP and AF_UNIX, IPv4 and IPv6, on the system's sockets and over TUN. What is not installed is
# skipped, and the script says so.
#
#   tests/interop/chat.sh [path of the sockeye command]
set -u
sockeye=$(realpath "${1:-target/debug/sockeye}")
export LC_ALL=C.UTF-8
unset SOCKEYE_NET NO_COLOR
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
have ip && in_namespace "$sockeye"

tools=()
for tool in ncat socat nc.openbsd; do have "$tool" && tools+=("$tool"); done
[ ${#tools[@]} -gt 0 ] || { echo "skipped: none of them is installed"; exit 0; }

# The other program, one who connects: theirs_connects TOOL FAMILY HOST PORT [udp].
theirs_connects() {
    local tool=$1 family=$2 host=$3 port=$4 udp=${5:+-u} kind=TCP
    [ -n "$udp" ] && kind=UDP
    [ "$family" = 6 ] && [ "$tool" = socat ] && host="[$host]"
    case $tool in
        ncat) start them ncat -n "-$family" $udp "$host" "$port" ;;
        nc.openbsd) start them nc.openbsd -n -N "-$family" $udp "$host" "$port" ;;
        socat) start them socat -t 20 STDIO "$kind$family:$host:$port" ;;
    esac
}
# And one who listens, which is waited for: theirs_listens TOOL FAMILY HOST PORT [udp].
theirs_listens() {
    local tool=$1 family=$2 host=$3 port=$4 udp=${5:+-u} kind=TCP text="istening on"
    [ -n "$udp" ] && kind=UDP
    [ "$family" = 6 ] && [ "$tool" = socat ] && host="[$host]"
    # A port of its own each time: one that was used waits in TIME-WAIT, and not all set SO_REUSEADDR.
    case $tool in
        ncat) start them ncat -n -v "-$family" $udp -l "$host" "$port" ;;
        nc.openbsd)
            start them nc.openbsd -n -v -N "-$family" $udp -l "$host" "$port"
            [ -n "$udp" ] && text="Bound on"
            ;;
        socat) start them socat -d -d -t 20 "$kind$family-LISTEN:$port,bind=$host,reuseaddr" STDIO ;;
    esac
    notes them "$text"
}
# Where ours listens, after it said so: sets $port.
ours_listens() { # WHAT COMMAND...
    local what=$1
    shift
    start us "$sockeye" "$@"
    if notes us "listening at"; then
        line=${line#*listening at }
        line=${line%%;*}
        port=${line##*:}
    else
        bad "$what: ours does not listen: $line"
        return 1
    fi
}
# Both say something, and hear it: talk WHAT. Our datagrams have no newlines: talk WHAT bare.
talk() {
    say them "hello 你好 from them" && hears us "hello 你好 from them" || { bad "$1: ours hears theirs: $line"; return 1; }
    say us "and 再见 from us" && "hears${2:+_$2}" them "and 再见 from us" || { bad "$1: theirs hears ours: $line"; return 1; }
    ok "$1"
}
ended() { # WHAT EXPECTED
    if [ "$code" = "$2" ]; then ok "$1"; else bad "$1: exit code $code, not $2"; fi
}

# tcp PLACE FLAGS FAMILY OURS THEIRS
tcp() {
    local place=$1 flags=$2 family=$3 ours=$4 theirs=$5 leave=0 at=$4 bind=$5
    [ "$family" = 6 ] && at="[$ours]"
    # Ours listens, and one after the other comes and leaves in a way of its own.
    # shellcheck disable=SC2086 # flags are several words, or none
    ours_listens "$place" $flags chat listen "$at:0" || { stop us KILL; return; }
    for tool in "${tools[@]}"; do
        theirs_connects "$tool" "$family" "$ours" "$port"
        talk "$place: $tool connects"
        case $((leave++)) in
            0) say them Q && end_input them ;;
            1) end_input them ;;
            2) stop them KILL ;;
        esac
        notes us "closed, as" || bad "$place: ours does not notice that $tool left: $line"
        [ -z "${pid[them]:-}" ] || ends them
    done
    stop us INT
    ended "$place: ours goes on with the next one, and ends at Ctrl-C" 130
    # Theirs listens.
    [ "$place" = "${place#TUN}" ] || { [ "$family" = 6 ] && bind=:: || bind=0.0.0.0; }
    [ "$family" = 6 ] && theirs="[$theirs]"
    for tool in "${tools[@]}"; do
        theirs_listens "$tool" "$family" "$bind" $((++next)) || { bad "$place: $tool does not listen: $line"; stop them KILL; continue; }
        # shellcheck disable=SC2086
        start us "$sockeye" $flags chat connect "$theirs:$next"
        talk "$place: $tool listens"
        case $tool in
            # It closes; our input is open, and does not hold us.
            ncat) stop them ;;
            # Our input ends, and the answer is still heard.
            socat)
                end_input us
                say them "late answer"
                hears us "late answer" || bad "$place: no answer of $tool after our end"
                end_input them
                ;;
            # Our end is enough for it.
            *) end_input us ;;
        esac
        ends us
        ended "$place: ours ends with $tool" 0
        [ -z "${pid[them]:-}" ] || ends them
    done
}
# udp PLACE FLAGS FAMILY OURS THEIRS
udp() {
    local place=$1 flags=$2 family=$3 ours=$4 theirs=$5 at=$4 bind=$5
    [ "$family" = 6 ] && at="[$ours]"
    # shellcheck disable=SC2086
    ours_listens "$place, UDP" $flags chat listen --udp "$at:0" || { stop us KILL; return; }
    for tool in "${tools[@]}"; do
        theirs_connects "$tool" "$family" "$ours" "$port" udp
        talk "$place, UDP: $tool sends first" bare
        stop them
    done
    stop us INT
    ended "$place, UDP: ours ends at Ctrl-C" 130
    [ "$place" = "${place#TUN}" ] || { [ "$family" = 6 ] && bind=:: || bind=0.0.0.0; }
    [ "$family" = 6 ] && theirs="[$theirs]"
    for tool in "${tools[@]}"; do
        theirs_listens "$tool" "$family" "$bind" $((++next)) udp || { bad "$place, UDP: $tool does not listen: $line"; stop them KILL; continue; }
        # shellcheck disable=SC2086
        start us "$sockeye" $flags chat connect --udp "$theirs:$next"
        say us "first, from us"
        hears_bare them "first, from us" || bad "$place, UDP: $tool does not hear ours"
        talk "$place, UDP: $tool listens" bare
        say us Q
        ends us
        ended "$place, UDP: ours ends with Q" 0
        stop them
    done
}
# Names of AF_UNIX: a path, and for those who can an abstract one.
names() {
    local name theirs
    for name in "$dir/talk.sock" "@$dir/talk"; do
        ours_listens "AF_UNIX" chat listen --unix "$name" || { stop us KILL; return; }
        for tool in "${tools[@]}"; do
            case $tool in
                ncat) theirs=(ncat -U "$name") ;;
                nc.openbsd) theirs=(nc.openbsd -N -U "$name") ;;
                socat) theirs=(socat -t 20 STDIO "UNIX-CONNECT:$name") ;;
            esac
            if [ "${name#@}" != "$name" ]; then
                [ "$tool" = socat ] || continue
                theirs=(socat -t 20 STDIO "ABSTRACT-CONNECT:${name#@}")
            fi
            start them "${theirs[@]}"
            talk "AF_UNIX ${name%%/*}: $tool connects"
            end_input them
            ends them
        done
        start second "$sockeye" chat listen --unix "$name"
        notes second "in use" && ok "AF_UNIX ${name%%/*}: a live one is in use" || bad "AF_UNIX ${name%%/*}: not in use: $line"
        ends second
        stop us INT
        if [ ! -e "$name" ]; then ok "AF_UNIX ${name%%/*}: no file is left"; else bad "$name is left"; fi
    done
    # One that was killed leaves its file: the next one replaces it.
    name=$dir/talk.sock
    ours_listens "AF_UNIX" chat listen --unix "$name"
    stop us KILL
    [ -S "$name" ] || bad "a killed one leaves no file: nothing to replace"
    ours_listens "AF_UNIX: a dead one is replaced" chat listen --unix "$name" && ok "AF_UNIX: a dead one is replaced"
    stop us INT
    for tool in "${tools[@]}"; do
        name=$dir/$tool.sock
        case $tool in
            ncat) theirs=(ncat -v -l -U "$name") ;;
            nc.openbsd) theirs=(nc.openbsd -v -N -l -U "$name") ;;
            socat) theirs=(socat -d -d -t 20 "UNIX-LISTEN:$name" STDIO) ;;
        esac
        start them "${theirs[@]}"
        notes them "istening on" || bad "AF_UNIX: $tool does not listen: $line"
        start us "$sockeye" chat connect --unix "$name"
        talk "AF_UNIX: $tool listens"
        say us exit
        ends us
        ended "AF_UNIX: ours ends with exit" 0
        end_input them
        ends them
    done
    start us "$sockeye" chat connect --unix "$dir/nobody.sock"
    ends us
    ended "AF_UNIX: nobody is there" 4
}
# Several at once, with names.
rooms() {
    [ ${#tools[@]} -gt 1 ] || return
    ours_listens rooms chat listen --keep-open 127.0.0.1:0 || { stop us KILL; return; }
    theirs_connects "${tools[0]}" 4 127.0.0.1 "$port"
    hears them "you are guest1" || bad "rooms: no welcome: $line"
    say them "/nick ann"
    hears them "is now ann" || bad "rooms: no name: $line"
    # The second one, beside the first.
    start second "$sockeye" chat connect "127.0.0.1:$port"
    hears second "you are guest2" || bad "rooms: no second welcome: $line"
    hears them "guest2 joined" || bad "rooms: the first does not hear of the second: $line"
    talk_rooms
    stop us INT
    ends second
    ended "rooms: who is there ends with the server" 0
}
talk_rooms() {
    say second "/who"
    hears second "hall: host, ann, guest2" && ok "rooms: /who" || bad "rooms: /who: $line"
    say second "你好 all"
    hears them "guest2: 你好 all" && hears us "guest2: 你好 all" && ok "rooms: all hear" || bad "rooms: not all hear: $line"
    say us "from the host"
    hears them "host: from the host" && ok "rooms: the host is heard" || bad "rooms: the host: $line"
    say them "/quit"
    hears them "goodbye" && hears second "ann left" && ok "rooms: /quit" || bad "rooms: /quit: $line"
    end_input them
    ends them
}
# What goes wrong has a number of its own, and what is cut in two stays whole.
details() {
    start us "$sockeye" chat connect 127.0.0.1:1
    ends us
    ended "nobody listens: refused" 4
    if have socat; then
        ours_listens gbk chat listen --encoding gbk 127.0.0.1:0 || { stop us KILL; return; }
        start them socat -t 20 STDIO "TCP4:127.0.0.1:$port"
        printf '\xc4' >&"${in_fd[them]}"
        printf '\xe3\xba\xc3\x1b[2J\n' >&"${in_fd[them]}"
        hears us '你好\u{1b}[2J' && ok "GBK in pieces, control characters escaped" || bad "GBK: $line"
        stop them
        stop us INT
    fi
    can_tun || return
    start us "$sockeye" $tun chat connect 10.77.0.99:9 -w 1
    ends us
    ended "nobody answers: timed out" 5
}

next=19100
tun="--net tun:sock0,addr=10.77.0.2/24,addr6=fd77::2/64"
for kind in tcp udp; do
    $kind "IPv4" "" 4 127.0.0.1 127.0.0.1
    $kind "IPv6" "" 6 ::1 ::1
    if can_tun; then
        $kind "TUN, IPv4" "$tun" 4 10.77.0.2 10.77.0.1
        $kind "TUN, IPv6" "$tun" 6 fd77::2 fd77::1
    fi
done
names
rooms
details
can_tun || echo "skipped: TUN (root, a network namespace and /dev/net/tun are needed)"
summary
