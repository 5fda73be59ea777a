### What the command says, in English.
### A value is called the same in every language, and says the same: $doing is what was tried, in words; $error an error in
### words; $address an address as a person wrote it, $at one as it is.

## How the command fails

failure-told = { $doing }: { $error }; { $advice }
failure-file = cannot write { $path }: { $error }; choose a file in a directory that exists
failure-output = cannot write the output: { $error }
failure-input = cannot read the input: { $error }; send lines of text in UTF-8
failure-start = cannot start: { $error }
advice-refused = nobody listens there: start the server first
advice-timed-out = nobody is there, or something on the way drops what is sent
advice-reset = the peer broke off: connect again
advice-in-use = another program has this port (ss -lntup shows which): end it or choose another port
advice-no-such-address = there is no such address here: ip address shows this machine's, --net tun: has that of addr=, 0.0.0.0 means all
advice-not-permitted = ports below 1024 need root, broadcast addresses --broadcast
advice-no-way = there is no way to that address: look at ip route
advice-network-down = the network device is gone or broken: start the program again
advice-usage = look at --help
advice-network = check the name, the address and the network

## The person's lines, Ctrl-C, addresses

console-no-input = cannot read the input: { $error }; give it lines of text
console-not-utf8 = line { $number } of the input is not UTF-8 and was not sent; convert it first, with iconv say
console-closing = closing in good order; Ctrl-C again aborts
console-no-answer = no answer within { $limit }
console-cannot-listen = cannot listen at { $address }
console-cannot-connect = cannot connect to { $address }
console-cannot-accept = cannot accept clients
console-talking = talking to { $address }
address-no-port = the port is missing: HOST:PORT, like 127.0.0.1:9001 or [::1]:9001
address-port-too-large = there is no port { $port }: ports go from 0 to 65535
address-port-no-number = "{ $port }" is no port: a number from 0 to 65535
address-brackets = an IPv6 address stands in brackets: [::1]:9001

## sockeye upper

upper-listening = listening at { $at }; Ctrl-C ends
upper-connected = connected; type a line and press Enter, Q ends

## sockeye udp

udp-cannot-send = cannot send to { $address }
udp-cannot-use = cannot use { $address }
udp-cannot-use-any = cannot use any port
udp-cannot-receive = cannot receive at { $address }
udp-receiving = receiving at { $at }; Ctrl-C ends

## sockeye chat

chat-listening = listening at { $at }; Ctrl-C ends
chat-ends = connected from { $from } to { $to } in { $time }
chat-sum = { $heard } messages heard, { $said } said, in { $time }
chat-joined = { $name } ({ $peer }) joined
chat-left = { $name } ({ $peer }) left
chat-let-go = { $name } ({ $peer }) was let go
chat-room-broke-off = { $name } ({ $peer }) broke off: { $error }
chat-udp-server-first = over UDP the server cannot speak first: it knows nobody before a datagram came; use --turns client
chat-unix-of-the-system = names of AF_UNIX are of the operating system: leave --net out
chat-wrong-family = { $doing }: it has no address of that family; leave -4, -6 or -s out, or write another address
advice-unix-nobody = nobody listens there: start the server first
advice-unix-in-use = another program listens there: end it, or choose another name
advice-unix-file = the file there is not touched: choose another path, or remove it
advice-unix-not-permitted = the file's owner or its directory does not allow it: look at ls -l
advice-unix-full = too many wait there already: try again

## --net

place-accepted = accepted are os, lab and tun:NAME,addr=10.77.0.2/24
place-linux-only = TUN devices are there on Linux only; use os
place-needs-name = a TUN device needs a name and an address: tun:NAME,addr=10.77.0.2/24
place-cannot = cannot have sockets on TUN device { $name }: { $error }
place-no-tun = /dev/net/tun is missing: load the module (modprobe tun), or pass the device into the container
place-not-permitted = making a TUN device needs root or CAP_NET_ADMIN, and access to /dev/net/tun
place-name-taken = a network device named { $name } is there already: choose another name
place-not-here = --net is for upper, chat, udp and tftp: leave it out here
place-unacknowledged = a peer has not acknowledged everything that was sent to it; ending all the same

## sockeye tftp

tftp-stopping = running transfers may end; Ctrl-C again stops at once
tftp-size = a size is a number with k, M or G
tftp-size-range = too large, or nothing
tftp-ports = wanted: two ports from 1 to 65535, as in 40000-40999
tftp-failed = { $what }: { $error }
tftp-cannot-start = cannot start
tftp-cannot-serve = { $error }{ $hint }
tftp-hint-root = {" "}(a port below 1024 needs root: try --listen [::]:6969)
tftp-hint-in-use = {" "}(another server has the port: try --listen [::]:6969)
tftp-listening = TFTP server listening on { $at }, serving { $dir }
tftp-interrupted = interrupted
tftp-stdin = standard input
tftp-stdout = standard output
tftp-none = no TFTP in it
tftp-octets = { $octets } octets
tftp-done = { $file }: { $octets } octets in { $seconds } s ({ $rate } MB/s)

## Values of options

value-share = a share is a percentage like 5% or a fraction like 0.05, from 0 to 1
value-time = a time is a number with its unit, like 10ms, 250us or 1.5s, up to 3600s
value-rate = a rate is bits a second, like 10mbit, 64kbit or 1gbit, from 1kbit to 1000gbit

## sockeye lab

advice-lab-loses = the network loses too much, or nobody is there
advice-lab-no-upper = what answers there is no upper-casing server
advice-lab-diagram = look at the diagram for what the network did
lab-upper-hello = Type a line and press Enter; Q or the end of input closes. Time stands still while you type.
lab-upper-mtu = an MTU of { $mtu } is too small for IPv6, which needs 1280 (RFC 8200): use --mtu 1280 or more
lab-upper-cannot-listen = the server cannot listen
lab-upper-cannot-connect = the client cannot connect to server:8000
lab-upper-failed = the conversation with server:8000 failed
lab-no-scenario = there is no scenario "{ $name }"; sockeye lab list names them

## sockeye sockets

sockets-of = { $pid } on { $stack }: sockeye { $command }
sockets-nothing = no program with sockets of its own is running: start one with --net tun:, as the same user; those of --net os are shown by ss
sockets-not-that = process { $pid } has no socket table to show: start one with --net tun:, as the same user; those of --net os are shown by ss
control-no-directory = there is no directory for a control socket (XDG_RUNTIME_DIR): sockeye sockets will not show this program
control-cannot-offer = cannot offer the socket table at { $path }: { $error }

## --net lab

lab-only-server = there is no { $host } in the lab: the other host is called server
lab-nobody-comes = nobody else can reach a lab: ask for the client (upper connect, chat connect, udp send or chat, tftp get or put), which has its server there
lab-no-directory = say which directory the lab's server serves: --serve DIR
lab-needs-net = --loss, --delay, --rate, --seed and --serve say what the network of --net lab is like: add --net lab
lab-greeting = hello
lab-arrived = at the server, from { $from }: { $text }
lab-was = the lab: { $frames } frames, { $lost } of them lost, in { $time } of its time
