//! Receiving as much as the peer gives.

use std::os::fd::AsFd;

use sockkit_core::transport::Form;
use sockkit_core::{Error, Framing, Traits};

use super::{BURST, INPUT, Pipe, Pipes};
use crate::clock;
use crate::recorder::{Recorder, Report};
use crate::window::{DOZE_NS, Window};
use crate::work::{Driver, Share};
use crate::workload::Workload;

/// A receive that brings so many bytes is from a peer in full flow: half of what a send to ourselves brings at once. Of such a
/// peer TCP then tells only when much more has come: to be woken each time takes both ends longer than all else that they do.
/// One receive takes that much, and what has come meanwhile. Much more is slower, and so is much less.
const FLOW: usize = 32 << 10;
const MUCH: u32 = (INPUT - INPUT / 4) as u32;

/// Receives from peers that send without being asked.
pub(crate) struct Receiver<'a> {
    all: Pipes<'a>,
    framing: Framing,
    /// It is TCP that tells, and its receive buffer, which grows with what is awaited, is of no size that was asked for.
    may_await_much: bool,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(share: Share, workload: &Workload, window: &'a Window) -> Result<Self, Error> {
        let Traits { framing, form, .. } = share.peer.transport.traits();
        let can_await_much = framing == Framing::Stream && form == Form::HostPort;
        let may_await_much = can_await_much && workload.options.receive_buffer.is_none();
        Ok(Self { all: Pipes::new(share, workload, window, false)?, framing, may_await_much })
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
                self.look_for_less(index, now_ns, recorder);
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

    /// Who has been in full flow may have sent a little since, of which the kernel has not told.
    fn look_for_less(&mut self, index: usize, now_ns: u64, recorder: &mut Recorder<'_>) {
        let pipe = &mut self.all.pipes[index];
        if pipe.awaits_much && now_ns.saturating_sub(pipe.moved_ns) >= DOZE_NS {
            pipe.await_much(false, recorder);
            pipe.readable = true;
        }
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
                    if self.may_await_much && length >= FLOW {
                        pipe.await_much(true, recorder);
                    }
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

impl Pipe {
    fn await_much(&mut self, much: bool, recorder: &mut Recorder<'_>) {
        if self.awaits_much != much {
            self.awaits_much = much;
            recorder.calls += 1;
            // Without it we are woken more often.
            let _ = sockkit_sys::set_low_water(self.endpoint.as_fd(), if much { MUCH } else { 1 });
        }
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
