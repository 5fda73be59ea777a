# What the interoperation scripts share: programs whose lines are waited for, and a network namespace of their own. To be
# sourced. Nothing here sleeps: whoever waits, waits for a line.

dir=$(mktemp -d)
declare -A pid in_fd out_fd err_fd
fds=()
passed=0
failed=0
# How long something may take that should be there at once: a guard against hanging, in seconds.
patience=${PATIENCE:-20}

finish() {
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
# Who writes to a program that is gone goes on, and sees what is missing.
trap : PIPE

ok() { passed=$((passed + 1)); echo "ok: $*"; }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
have() { command -v "$1" >/dev/null || { echo "skipped: $1 is not installed"; return 1; }; }
summary() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# Runs the script again in a network namespace of its own, if that can be: then its ports and its TUN device are nobody
# else's. Without it the operating system's sockets are used as they are, and TUN is skipped.
in_namespace() {
    [ -n "${SOCKEYE_INTEROP_NS:-}" ] && { ip link set lo up; return; }
    if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
        SOCKEYE_INTEROP_NS=1 exec unshare --net bash "$0" "$@"
    fi
    echo "skipped: no network namespace of its own (root is needed), so nothing over TUN"
}
can_tun() { [ -n "${SOCKEYE_INTEROP_NS:-}" ] && [ -c /dev/net/tun ]; }

# start NAME COMMAND...: its input, output and errors are ours under that name.
start() {
    local name=$1 fd
    shift
    rm -f "$dir/$name".{in,out,err}
    mkfifo "$dir/$name".{in,out,err}
    (
        for fd in "${fds[@]}"; do exec {fd}>&-; done
        exec "$@"
    ) <"$dir/$name.in" >"$dir/$name.out" 2>"$dir/$name.err" &
    pid[$name]=$!
    exec {fd}>"$dir/$name.in"
    in_fd[$name]=$fd fds+=("$fd")
    exec {fd}<"$dir/$name.out"
    out_fd[$name]=$fd fds+=("$fd")
    exec {fd}<"$dir/$name.err"
    err_fd[$name]=$fd fds+=("$fd")
}
say() { printf '%s\n' "$2" >&"${in_fd[$1]}"; }
forget() { # fd
    local fd=$1 rest=() one
    exec {fd}>&-
    for one in "${fds[@]}"; do [ "$one" = "$1" ] || rest+=("$one"); done
    fds=("${rest[@]}")
}
end_input() {
    [ -n "${in_fd[$1]:-}" ] || return
    forget "${in_fd[$1]}"
    unset "in_fd[$1]"
}
# The next line that contains a text: hears NAME TEXT, on standard error notes NAME TEXT. It stays in $line.
hears() { line_of "${out_fd[$1]}" "$2"; }
notes() { line_of "${err_fd[$1]}" "$2"; }
line_of() {
    while IFS= read -r -t "$patience" -u "$1" line; do
        [[ $line == *"$2"* ]] && return
    done
    [[ $line == *"$2"* ]] # the last line may have no newline
}
# Exactly this text next on its output, which has no newline: hears_bare NAME TEXT.
hears_bare() {
    IFS= read -r -N "${#2}" -t "$patience" -u "${out_fd[$1]}" line
    [ "$line" = "$2" ]
}
# Waits for a program's end, whose input may still be open: ends NAME. Its exit code is in $code; one that does not end
# is killed.
ends() {
    local name=$1 fd
    # Its errors end with it, and reading them is bounded, as `wait` is not.
    while IFS= read -r -t "$patience" -u "${err_fd[$name]}" line; do :; done
    [ $? -le 128 ] || { echo "$name does not end"; kill -s KILL "${pid[$name]}"; }
    wait "${pid[$name]}" 2>/dev/null
    code=$?
    end_input "$name"
    for fd in "${out_fd[$name]}" "${err_fd[$name]}"; do forget "$fd"; done
    unset "pid[$name]" "out_fd[$name]" "err_fd[$name]"
}
# Ends a program: stop NAME [SIGNAL].
stop() {
    kill -s "${2:-TERM}" "${pid[$1]}" 2>/dev/null
    ends "$1"
}
