//! Receiving as much as the peer gives.

use sockkit_core::{Error, Framing};

use super::{BURST, Pipes};
use crate::clock;
use crate::recorder::{Recorder, Report};
use crate::window::{DOZE_NS, Window};
use crate::work::{Driver, Share};
use crate::workload::Workload;

/// Receives from peers that send without being asked.
pub(crate) struct Receiver<'a> {
    all: Pipes<'a>,
    framing: Framing,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(share: Share, workload: &Workload, window: &'a Window) -> Result<Self, Error> {
        let framing = share.peer.transport.traits().framing;
        Ok(Self { all: Pipes::new(share, workload, window, false)?, framing })
    }

    /// Receives until the end.
    fn receive_all(&mut self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let mut now_ns = clock::now_ns();
        for pipe in &mut self.all.pipes {
            pipe.moved_ns = now_ns;
        }
        while recorder.turn(now_ns) {
            let mut all_empty = true;
            for index in 0..self.all.pipes.len() {
                self.burst(index, recorder)?;
                all_empty &= !self.all.pipes[index].readable;
            }
            let until_ns = match all_empty {
                true => (now_ns + DOZE_NS).min(recorder.next_edge_ns(now_ns)),
                false => now_ns,
            };
            self.all.wait(recorder, now_ns, until_ns)?;
            self.all.check_silence(now_ns, "receive from")?;
            now_ns = clock::now_ns();
        }
        Ok(())
    }

    /// Receives on one connection what is there, but not for ever.
    fn burst(&mut self, index: usize, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let pipe = &mut self.all.pipes[index];
        for _ in 0..BURST {
            if !pipe.readable {
                break;
            }
            match pipe.receive(recorder, &mut self.all.input)? {
                None => return Err(pipe.closed("receive from")),
                Some(0) => break,
                Some(length) => {
                    let now_ns = clock::now_ns();
                    pipe.moved_ns = now_ns;
                    let messages = match self.framing {
                        Framing::Stream => {
                            // Less than there is room for is all there was.
                            pipe.readable = pipe.hung_up || length == self.all.input.len();
                            pipe.advance(length, self.all.size)
                        }
                        // How long a message is says nothing about those behind it.
                        Framing::Message => {
                            pipe.messages += 1;
                            1
                        }
                    };
                    recorder.passed(now_ns, messages, length as u64);
                }
            }
        }
        Ok(())
    }
}

impl<'a> Driver<'a> for Receiver<'a> {
    fn drive(mut self: Box<Self>, mut recorder: Recorder<'a>) -> Result<Report, Error> {
        if let Err(error) = self.receive_all(&mut recorder) {
            recorder.break_off(error);
        }
        recorder.counters += self.all.counters(true);
        Ok(recorder.finish())
    }
}
