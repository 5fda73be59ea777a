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
chat-here = { $peer } is here; Q or exit ends
chat-local-program = a program of this machine
chat-empty = an empty message is not sent: type something
chat-cannot-encode = not sent: { $charset } has no { $character }; say it otherwise, or use gb18030
chat-peer-ended = { $peer } has ended its side; we go on
chat-closed = { $peer }: closed, as { $reason }
chat-ending-quit = we said goodbye
chat-ending-peer-quit = the peer said goodbye
chat-ending-peer-closed = the peer closed
chat-ending-input = the input ended
chat-ending-stopped = we were stopped
chat-broke-off = { $peer } broke off: { $error }; waiting for the next
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

place-accepted = accepted are os and tun:NAME,addr=10.77.0.2/24
place-linux-only = TUN devices are there on Linux only; use os
place-needs-name = a TUN device needs a name and an address: tun:NAME,addr=10.77.0.2/24
place-cannot = cannot have sockets on TUN device { $name }: { $error }
place-no-tun = /dev/net/tun is missing: load the module (modprobe tun), or pass the device into the container
place-not-permitted = making a TUN device needs root or CAP_NET_ADMIN, and access to /dev/net/tun
place-name-taken = a network device named { $name } is there already: choose another name
place-unacknowledged = a peer has not acknowledged everything that was sent to it; ending all the same

## sockeye tftp

tftp-stopping = running transfers may end; Ctrl-C again stops at once
