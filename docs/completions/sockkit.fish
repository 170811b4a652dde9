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
complete -c sockkit -n "__fish_sockkit_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l tcp -d 'Connect: TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l udp -d 'Connect: UDP datagrams over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l mptcp -d 'Connect: multipath TCP over IPv4 or IPv6' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix -d 'Connect: Unix-domain stream socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix-dgram -d 'Connect: Unix-domain datagram socket' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -l unix-seqpacket -d 'Connect: Unix-domain socket with a connection that keeps message boundaries' -r
complete -c sockkit -n "__fish_sockkit_using_subcommand connect" -s h -l help -d 'Print help'
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
