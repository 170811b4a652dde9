# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sockkit_global_optspecs
    string join \n h/help V/version
end

function __fish_sockkit_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sockkit_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sockkit_using_subcommand
    set -l cmd (__fish_sockkit_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sockkit -n "__fish_sockkit_needs_command" -s h -l help -d 'Print help'
complete -c sockkit -n "__fish_sockkit_needs_command" -s V -l version -d 'Print version'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "serve" -d 'Echo, greet or answer on any mix of transports at once'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "connect" -d 'Talk to a server: stdin goes to it, what it says to stdout'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "ping" -d 'Time round trips to an echo server'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "bench" -d 'Measure round trips, throughput or connections of one target or several'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "compare" -d 'Tell which transport or server is faster, by how much, and how sure that is'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "report" -d 'Show saved results again, in any form'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "info" -d 'Tell what this machine has: transports, limits, io_uring'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "man" -d 'Print a manual page, as troff'
complete -c sockkit -n "__fish_sockkit_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l tcp -d 'Listen: TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l udp -d 'Listen: UDP datagrams over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l mptcp -d 'Listen: multipath TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l unix -d 'Listen: Unix-domain stream socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l unix-dgram -d 'Listen: Unix-domain datagram socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l unix-seqpacket -d 'Listen: Unix-domain socket with a connection that keeps message boundaries' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l service -d 'What to say on every listener that has no service of its own [default: echo]' -r -f -a "echo\t'Send back what arrives (RFC 862)'
greet\t'Say a greeting and close'
discard\t'Throw away what arrives (RFC 863)'
chargen\t'Send a pattern of characters without end (RFC 864)'
daytime\t'Send the date and time as text and close (RFC 867)'
time\t'Send the seconds since 1900 as 32 bits and close (RFC 868)'
qotd\t'Send a quote of the day and close (RFC 865)'"
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l greeting -d 'Greet with this text (implies --service greet); {peer} and {host} are filled in [default: Thank you for connecting]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l stats -d 'Print counters while running, at this interval [default: 10s where --stats stands alone]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l engine -d 'What moves the bytes of streams: io_uring, epoll, or what is faster for each listener and can be had here' -r -f -a "auto\t'What is faster, and can be had'
epoll\t'epoll(7)'
uring\t'io_uring(7); what it cannot do is an error'"
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l accept -d 'End after so many connections (and datagrams, on datagram listeners), once they are served' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l duration -d 'End after this time, as on SIGTERM; 0 is no limit' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l grace -d 'How long connections may take to end once the server ends; what is left then is reset' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l exit-with-parent -d 'End, as on SIGTERM, when the parent process does' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l max-connections -d 'Connections at a time; one more is reset [default: 20000, or what the limit of open files leaves room for]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l max-connections-per-peer -d 'Connections at a time from one address (IPv6: one /64; Unix: one user); one more is reset; 0 is no limit [default: 256 for remote peers, no limit for those on this machine]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l idle-timeout -d 'Close a connection on which nothing was sent or received for so long; 0 is never' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l write-timeout -d 'Reset a connection whose peer takes nothing of what waits for it for so long; 0 is never' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l linger-timeout -d 'After the last word, go on reading for so long, so that the peer gets all that was said' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l max-queue -d 'Bytes held for one peer; reading from it pauses above that' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l max-memory -d 'Bytes held for all peers; above that the peer for which most is held is reset' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l backlog -d 'Connections that may wait to be accepted (capped by net.core.somaxconn)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l rcvbuf -d 'Bytes of SO_RCVBUF (capped by net.core.rmem_max) [default: 4MiB on UDP, else the kernel\'s]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l sndbuf -d 'Bytes of SO_SNDBUF (capped by net.core.wmem_max) [default: 4MiB for datagrams, else the kernel\'s]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l workers -d 'Threads, each with a loop of its own [default: one for each processor, with --spin one]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l unix-mode -d 'Permissions of Unix socket paths, in octal' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l rate-limit -d 'Datagrams a second that are read from one address (IPv6: one /64), the others are dropped; 0 is no limit [default: 1000 for remote sources, no limit for those on this machine]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l fault -d 'Do this wrong on purpose, to test clients: drop=1%, delay=5ms and so on; may be given for several faults' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l fault-seed -d 'Draw what is random from this: the same seed strikes the same messages of one client of one worker [default: another one each time, told on stderr]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -s v -l verbose -d 'Log each peer on stderr'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l json -d 'Print the ready lines, the counters and the summary as JSON, one object a line, on stdout'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l spin -d 'Never sleep: ask the sockets again and again. The shortest round trips, for a whole processor a worker (one worker, where --workers says nothing else); for measurements'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l allow-amplification -d 'Answer with more bytes than were asked with (and more than 32): others can aim the answers at a victim'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l allow-any-source -d 'Answer datagrams from well-known ports, from our own addresses, from and to multicast and broadcast: two servers can be made to answer each other for ever'
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l tcp -d 'Connect: TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l udp -d 'Connect: UDP datagrams over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l mptcp -d 'Connect: multipath TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix -d 'Connect: Unix-domain stream socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix-dgram -d 'Connect: Unix-domain datagram socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix-seqpacket -d 'Connect: Unix-domain socket with a connection that keeps message boundaries' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -s m -l message -d 'Send this instead of stdin; may be repeated' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l expect -d 'Wait for an answer that contains this before the next message; else exit 1. May be repeated' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l expect-regex -d 'The same with a regular expression over bytes, in the syntax of Rust\'s regex crate; ^ and $ are the ends of lines, and . \\d \\w \\s (?i) know ASCII only' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l framing -d 'Where messages are cut in stdin and joined on stdout [default: line; streams: raw for stdin, line for -m]' -r -f -a "line\t'One line a message'
nul\t'A zero byte ends a message'
length\t'Four bytes, big-endian, tell the length of the message behind them'
raw\t'Each read of stdin is a message; replies are written without anything between'"
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l connect-timeout -d 'How long a connection may take to open; 0 is no limit' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l timeout -d 'Limit of the whole run; 0 is no limit' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l idle-timeout -d 'Give up when no byte moves either way for so long; 0 is no limit [default: while it is the peer\'s turn, that is at the end of the input, before an expectation or when the peer takes no more, 30s, and 5s without a connection]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l linger -d 'After the end of the input, how long to wait for another reply where no close tells that there is none; given on a stream, it ends the run there too [default: 1s]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l retry-for -d 'Keep trying until the server is up: no attempt starts later than this' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l source -d 'Call from this address: HOST:PORT, or a PATH on Unix kinds (removed at the end)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l rcvbuf -d 'Receive buffer of the socket in bytes, as SO_RCVBUF [default: the kernel\'s]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l sndbuf -d 'Send buffer of the socket in bytes, as SO_SNDBUF [default: the kernel\'s]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l crlf -d 'Send every line end as CR LF'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l send-only -d 'Expect nothing back: what comes is thrown away, and a datagram peer need not answer'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l no-half-close -d 'Do not tell a stream\'s peer that the input has ended; read until it closes by itself'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l hex -d 'Dump both directions on stderr, as hexdump -C does, with > for sent and < for received'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l json -d 'Print a transcript instead of what the peer says: one JSON object a line, times in ns since the start'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l tcp -d 'Ping: TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l udp -d 'Ping: UDP datagrams over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l mptcp -d 'Ping: multipath TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l unix -d 'Ping: Unix-domain stream socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l unix-dgram -d 'Ping: Unix-domain datagram socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l unix-seqpacket -d 'Ping: Unix-domain socket with a connection that keeps message boundaries' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s c -l count -d 'Send so many messages [default: until Ctrl-C]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s i -l interval -d 'From one message to the next; 0 is as soon as the last one is answered' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s s -l size -d 'Bytes in a message: at most 65,507 in a UDP datagram and 16 MiB in a stream; 0 only in a datagram' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l seed -d 'What the bytes of the messages are drawn from [default: at random]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s W -l timeout -d 'After how long without an answer a message is given up; what comes later counts as late. ping(8) has 10s' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s w -l deadline -d 'End after so long, whatever is still to come' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l connect-timeout -d 'How long a connection may take to open; 0 is no limit' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l source -d 'Call from this address: HOST:PORT, or a PATH on Unix kinds (removed at the end)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l max-loss -d 'Exit 1 if more than this share of the messages is lost' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l json -d 'Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of all else' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -l spin -d 'Wait by asking again and again instead of sleeping: takes a whole processor'
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s q -l quiet -d 'No line for each reply, only the summary'
complete -c sockkit -n "__fish_sockkit_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l tcp -d 'Measure: TCP over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l udp -d 'Measure: UDP datagrams over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l mptcp -d 'Measure: multipath TCP over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l unix -d 'Measure: Unix-domain stream socket; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l unix-dgram -d 'Measure: Unix-domain datagram socket; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l unix-seqpacket -d 'Measure: Unix-domain socket with a connection that keeps message boundaries; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l duration -d 'How long each round is measured' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l warmup -d 'How long the load is on before each round is measured' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l rounds -d 'Rounds of each arm, with connections (and an embedded server) of their own; figures are their medians, and have intervals from 6 rounds on [default: 1]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l max-rate-under -d 'Search the highest rate that keeps a promise, such as \'p99<1ms\'' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l budget -d 'How long each search may begin runs [default: five times what it takes as a rule, which is told when it begins]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l max-loss -d 'Exit 1 if more than this share of the messages of an arm is lost' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l server-pid -d 'The process of a server that sockkit has not started, to measure its cost too' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l mode -d 'What to measure' -r -f -a "echo\t'Round trips'
send\t'One way, to a discard service'
receive\t'One way, from a chargen service'
connect\t'Connections: each is opened, makes one round trip and is closed'"
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l size -d 'Bytes in a message: one size, a list (64,1KiB), or powers of two (64..64KiB)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l connections -d 'Connections at a time; a list makes an arm of each' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l depth -d 'Messages outstanding on each connection, in an open loop the most that may be; a list makes an arm of each [default: 1; in an open loop 1024 over all connections, at least 16 on each]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l rate -d 'Open loop: messages a second over all connections, by a schedule that waits for no answer' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l threads -d 'Threads of the load generator' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l engine -d 'The engine of a server of our own, as of serve' -r -f -a "auto\t'What is faster, and can be had'
epoll\t'epoll(7)'
uring\t'io_uring(7); what it cannot do is an error'"
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l placement -d 'On which processors the two ends run; the server only where it is our own [default: free; for compare cross-core where there are two processors, because what the kernel chooses differs from run to run]' -r -f -a "free\t'Wherever the kernel puts them'
same-core\t'Both on one processor'
cross-core\t'The server on one, the generator on others'"
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l verify -d 'Which answers are compared with what was sent [default: full for echo and connect, else off]' -r -f -a "full\t'Every byte of every answer'
sample\t'Every byte of one in a hundred, and the lengths of the others'
off\t'Lengths only'"
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l timeout -d 'After how long a datagram is given up as lost, and a silent connection as dead' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l connect-timeout -d 'How long connecting may take' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l seed -d 'What all that is random is drawn from [default: drawn at the start, and printed]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l nodelay -d 'TCP_NODELAY: send small segments at once' -r -f -a "true\t''
false\t''"
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l rcvbuf -d 'Bytes of SO_RCVBUF, at both ends where the server is our own (capped by net.core.rmem_max)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l sndbuf -d 'Bytes of SO_SNDBUF, likewise (capped by net.core.wmem_max)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l busy-poll -d 'SO_BUSY_POLL: microseconds for which a receive polls the device' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l congestion -d 'TCP_CONGESTION: the algorithm, such as cubic or bbr' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l tos -d 'IP_TOS or IPV6_TCLASS, 0 to 255' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l ttl -d 'IP_TTL or IPV6_UNICAST_HOPS, 1 to 255' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l interval -d 'Tell how it goes, at this interval [default: 1s with --json-lines]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l json -d 'Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of the table' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l csv -d 'The same as CSV: a line for each arm, figures in ns and per second, empty where nothing is known' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l markdown -d 'The same as Markdown: the tables of the terminal for GitHub, with the environment' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l html -d 'The same as a page for a browser, self-contained: percentile curves, sweeps, tables' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l poisson -d 'Spread the messages of an open loop at random (a Poisson process), as those of many users are'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l spin -d 'Wait by asking again and again, at both ends where the server is our own; burns a processor for each thread'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l gso -d 'UDP only: have up to 64 datagrams leave, and come, as one, which the kernel cuts apart (GSO and GRO); takes a --depth of more than 1'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l quickack -d 'TCP_QUICKACK: acknowledge at once'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -l json-lines -d 'Print the intervals, and at last the result, as JSON on stdout, one object a line'
complete -c sockkit -n "__fish_sockkit_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l tcp -d 'Measure: TCP over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l udp -d 'Measure: UDP datagrams over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l mptcp -d 'Measure: multipath TCP over IPv4 or IPv6; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l unix -d 'Measure: Unix-domain stream socket; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l unix-dgram -d 'Measure: Unix-domain datagram socket; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l unix-seqpacket -d 'Measure: Unix-domain socket with a connection that keeps message boundaries; without an address, against a server of our own' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l budget -d 'How long the whole comparison may take; it ends sooner when --precision is reached' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l blocks -d 'End after so many blocks, if neither --precision nor the budget has ended it before [default: until then; runs are as long as leaves room for about 12, or 8 with --quick]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l precision -d 'How far every interval may reach from its estimate to be narrow enough' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l threshold -d 'The smallest difference that matters [default: what two runs of the same differ by, with its interval]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l duration -d 'How long each run is measured [default: 50ms to 1s, as --blocks has it]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l warmup -d 'How long the load is on before each run is measured [default: a tenth of the run, at least 20ms]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l save -d 'Save the result, whole or not at all, for --against and `sockkit report`' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l against -d 'Compare each arm with the same arm of a saved result; without a TARGET, all arms that it has' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l fail-if -d 'End with 1 if there is a verdict like that, or none at all for an arm that was to be judged' -r -f -a "slower\t'An arm is worse than its baseline'
different\t'An arm is worse or better than its baseline'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l fail-on -d 'Metrics whose verdicts --fail-if looks at, and which every arm has to have [default: all that there are, and of these p50 has to be there, or one way the rate]' -r -f -a "p50\t'The median round trip; rtt_ns.p50 in the result'
p99\t'The 99th percentile of the round trips; rtt_ns.p99 in the result'
rate\t'Messages (or connections) a second: msgs/s, conns/s; rate_per_s in the result'
cpu\t'Processor time for a message, both ends together: CPU/msg; cpu_ns_per_message in the result'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l mode -d 'What to measure' -r -f -a "echo\t'Round trips'
send\t'One way, to a discard service'
receive\t'One way, from a chargen service'
connect\t'Connections: each is opened, makes one round trip and is closed'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l size -d 'Bytes in a message: one size, a list (64,1KiB), or powers of two (64..64KiB)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l connections -d 'Connections at a time; a list makes an arm of each' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l depth -d 'Messages outstanding on each connection, in an open loop the most that may be; a list makes an arm of each [default: 1; in an open loop 1024 over all connections, at least 16 on each]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l rate -d 'Open loop: messages a second over all connections, by a schedule that waits for no answer' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l threads -d 'Threads of the load generator' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l engine -d 'The engine of a server of our own, as of serve' -r -f -a "auto\t'What is faster, and can be had'
epoll\t'epoll(7)'
uring\t'io_uring(7); what it cannot do is an error'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l placement -d 'On which processors the two ends run; the server only where it is our own [default: free; for compare cross-core where there are two processors, because what the kernel chooses differs from run to run]' -r -f -a "free\t'Wherever the kernel puts them'
same-core\t'Both on one processor'
cross-core\t'The server on one, the generator on others'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l verify -d 'Which answers are compared with what was sent [default: full for echo and connect, else off]' -r -f -a "full\t'Every byte of every answer'
sample\t'Every byte of one in a hundred, and the lengths of the others'
off\t'Lengths only'"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l timeout -d 'After how long a datagram is given up as lost, and a silent connection as dead' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l connect-timeout -d 'How long connecting may take' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l seed -d 'What all that is random is drawn from [default: drawn at the start, and printed]' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l nodelay -d 'TCP_NODELAY: send small segments at once' -r -f -a "true\t''
false\t''"
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l rcvbuf -d 'Bytes of SO_RCVBUF, at both ends where the server is our own (capped by net.core.rmem_max)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l sndbuf -d 'Bytes of SO_SNDBUF, likewise (capped by net.core.wmem_max)' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l busy-poll -d 'SO_BUSY_POLL: microseconds for which a receive polls the device' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l congestion -d 'TCP_CONGESTION: the algorithm, such as cubic or bbr' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l tos -d 'IP_TOS or IPV6_TCLASS, 0 to 255' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l ttl -d 'IP_TTL or IPV6_UNICAST_HOPS, 1 to 255' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l json -d 'Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of the table' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l csv -d 'The same as CSV: a line for each arm, figures in ns and per second, empty where nothing is known' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l markdown -d 'The same as Markdown: the tables of the terminal for GitHub, with the environment' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l html -d 'The same as a page for a browser, self-contained: percentile curves, sweeps, tables' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l quick -d 'The same as --budget 10s, in fewer blocks'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l plan -d 'Print the arms and the order of the runs, and measure nothing'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l poisson -d 'Spread the messages of an open loop at random (a Poisson process), as those of many users are'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l spin -d 'Wait by asking again and again, at both ends where the server is our own; burns a processor for each thread'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l gso -d 'UDP only: have up to 64 datagrams leave, and come, as one, which the kernel cuts apart (GSO and GRO); takes a --depth of more than 1'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -l quickack -d 'TCP_QUICKACK: acknowledge at once'
complete -c sockkit -n "__fish_sockkit_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand report" -l json -d 'Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of the table' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand report" -l csv -d 'The same as CSV: a line for each arm, figures in ns and per second, empty where nothing is known' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand report" -l markdown -d 'The same as Markdown: the tables of the terminal for GitHub, with the environment' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand report" -l html -d 'The same as a page for a browser, self-contained: percentile curves, sweeps, tables' -r -F
complete -c sockkit -n "__fish_sockkit_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand info" -l json -d 'Print one JSON object on one line'
complete -c sockkit -n "__fish_sockkit_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "serve" -d 'Echo, greet or answer on any mix of transports at once'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "connect" -d 'Talk to a server: stdin goes to it, what it says to stdout'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "ping" -d 'Time round trips to an echo server'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "bench" -d 'Measure round trips, throughput or connections of one target or several'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "compare" -d 'Tell which transport or server is faster, by how much, and how sure that is'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "report" -d 'Show saved results again, in any form'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "info" -d 'Tell what this machine has: transports, limits, io_uring'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "man" -d 'Print a manual page, as troff'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect ping bench compare report info completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
