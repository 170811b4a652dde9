//! What a server does to messages on purpose is counted one for one.
