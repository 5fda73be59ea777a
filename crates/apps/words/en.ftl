### What the programs say, in English.
### A value is called the same in every language, and says the same: $peer is an address with its port, $text what somebody
### sent, $error an error in words.

## Errors of the operating system. In English they are the system's own.

error-refused = connection refused
error-reset = connection reset by the peer
error-aborted = connection aborted
error-broken-pipe = broken pipe
error-end = unexpected end
error-not-connected = not connected
error-timed-out = timed out
error-in-use = address already in use
error-no-such-address = no such address here
error-not-permitted = not permitted
error-network-down = network is down
error-no-network = network is unreachable
error-no-host = no route to host
error-not-found = no such file or directory
error-exists = file exists
error-full = no space left
error-is-directory = is a directory
error-invalid = invalid argument
error-numbered = { $what } (os error { $number })

## Text

line-cannot-encode = not sent: { $charset } has no '{ $character }'; say it otherwise, or use gb18030

## Upper-casing

upper-prompt = { "> " }
upper-empty = an empty line is not sent: type something
upper-sent = sent; waiting for the answer
upper-accepted = { $peer }: connected
upper-received = { $peer }: { $text }
upper-closed = { $peer }: closed
upper-broken = { $peer }: broke off: { $error }; waiting for the next
upper-one-line = a line ends at its newline: ask one at a time
upper-cut = the server closed before its answer was complete
upper-answer-too-long = the answer is longer than the line in capitals
upper-answer-no-text = the answer is not UTF-8
upper-input-no-text = a line of the input is not UTF-8

## Datagrams

udp-prompt = { "> " }
udp-received = { $peer }: { $text }
udp-too-long = not sent: { $octets } octets are more than the { $limit } of a datagram; send them in parts
udp-nobody-yet = not sent: nobody has spoken yet who could be answered
udp-no-answer = no answer from { $peer }: a datagram may be lost; it is your turn again
udp-peer-left = { $peer } said goodbye; waiting for the next
udp-left = goodbye to { $peer } is sent; waiting for the next
udp-two-families = the address to send to and our own are of different families
udp-no-group = { $group } is no multicast group: these are 224.0.0.0/4 and ff00::/8
udp-group-of-other-family = the group { $group } and our address are of different families

## Chat

chat-prompt = { "> " }
chat-connected = { $peer } is here; Q or exit ends
chat-from-client = { $text }
chat-from-server = { $text }
chat-empty = an empty message is not sent: type something
chat-peer-ended = { $peer } has ended its side; we go on
chat-closed = { $peer }: closed, as { $ending }
chat-broken = { $peer } broke off: { $error }; waiting for the next
chat-ending-quit = we said goodbye
chat-ending-peer-quit = the peer said goodbye
chat-ending-peer-closed = the peer closed
chat-ending-input = the input ended
chat-ending-stopped = stopped
chat-local-program = a program of this machine

## TFTP

tftp-error-not-found = file not found on the server ({ $said })
tftp-error-access = the server refuses access ({ $said })
tftp-error-server-full = the server's disk is full ({ $said })
tftp-error-server = the server ended it: error { $code }: { $said }
tftp-error-refused = refused: nobody listens on that port
tftp-error-timed-out = timed out: no answer from the server
tftp-error-protocol = the server breaks the protocol: { $said }
tftp-error-name = unknown server { $host }: { $error }
tftp-error-network = network error: { $error }
tftp-error-full = disk full, or the file is larger than allowed
tftp-fault = fault: { $what }
tftp-fault-row = fault: { $what } [{ $row }]
tftp-fault-data = looks like block { $block } without an opcode: DATA is 00 03, the block number, then the data (RFC 1350 section 5)
tftp-fault-ack = looks like an ACK of block { $block } without an opcode: an ACK has four octets, 00 04 and the block number
tftp-fault-error = looks like error { $code } as two numbers: an ERROR is 00 05, the code, a message and a NUL
tftp-fault-block-zero = block 0 does not end a file: blocks count from 1, and the first one shorter than the block size is the last
tftp-fault-no-short-block = the last DATA is full: a file that is a multiple of the block size ends with one more DATA without data
tftp-fault-after-the-end = the file has ended with a short block, but the transfer goes on
tftp-fault-answer-port = the answer comes from the port of requests: each transfer has a port of the server's own, its TID (a server in single-port mode does so on purpose)
tftp-fault-ack-port = sent to the port of requests: an ACK goes to the port that the DATA came from
tftp-fault-doubled = block { $block } is sent once for each copy of an ACK: a duplicate ACK must not be answered (RFC 1123 section 4.2.3.1)
tftp-fault-outside = the name leads out of the directory: it must be refused with error 2
tftp-fault-mode = the mode is neither octet nor netascii (mail is obsolete): error 4
tftp-fault-option = option { $name } has an impossible value: error 8
tftp-fault-too-long = more data than the block size of { $most }
tftp-fault-malformed = no TFTP packet: { $why }
tftp-input-empty = the file is empty
tftp-input-no-hex = line { $line } is no hex dump
tftp-input-broken = the capture is broken
tftp-input-link = captures of link type { $kind } are not read

## Rooms. What the server says to its clients begins with an asterisk.

rooms-joined = * { $name } joined { $room }
rooms-left = * { $name } left
rooms-left-for = * { $name } left for { $room }
rooms-renamed = * { $old } is now { $name }
rooms-commands = /nick NAME, /join ROOM, /who, /quit; everything else goes to all in your room
rooms-welcome = * you are { $name } in { $room }; { $commands }
rooms-help = * { $commands }
rooms-there = * you are in { $room }
rooms-nick = * /nick NAME: up to { $most } letters, digits, - and _
rooms-join = * /join ROOM: up to { $most } letters, digits, - and _
rooms-taken = * { $name } is taken: choose another name
rooms-empty = * an empty message is not sent: type something
rooms-goodbye = * goodbye
rooms-closes = * the server closes
rooms-no-place = * no place: come again later
