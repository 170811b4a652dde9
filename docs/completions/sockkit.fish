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
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -l sndbuf -d 'Bytes of SO_SNDBUF (capped by net.core.wmem_max) [default: 4MiB on UDP, else the kernel\'s]' -r
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
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l expect-regex -d 'The same with a regular expression, in the syntax of Rust\'s regex crate; ^ and $ are the ends of lines' -r
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
complete -c sockkit -n "__fish_sockkit_using_subcommand info" -l json -d 'Print one JSON object on one line'
complete -c sockkit -n "__fish_sockkit_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "serve" -d 'Echo, greet or answer on any mix of transports at once'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "connect" -d 'Talk to a server: stdin goes to it, what it says to stdout'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "info" -d 'Tell what this machine has: transports, limits, io_uring'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "man" -d 'Print a manual page, as troff'
complete -c sockkit -n "__fish_sockkit_using_subcommand help; and not __fish_seen_subcommand_from serve connect info completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
