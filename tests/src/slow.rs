//! A server that is not sockkit's, and slow on purpose.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

/// An echo server that takes a millisecond for each message of 64 bytes, so that its highest rate is known from above. It
/// lasts as long as the test's process, and has one connection at a time. Answers its address.
pub fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = format!("tcp://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        while let Ok((mut connection, _)) = listener.accept() {
            connection.set_nodelay(true).expect("an option");
            let mut message = [0; 64];
            while connection.read_exact(&mut message).is_ok() {
                thread::sleep(Duration::from_millis(1));
                if connection.write_all(&message).is_err() {
                    break;
                }
            }
        }
    });
    address
}
