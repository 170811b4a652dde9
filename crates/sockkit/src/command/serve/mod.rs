//! `sockkit serve`.

mod parent;
mod plan;
mod watch;

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use sockkit_engine::{EitherEngine, EpollEngine, Listening, Server, Totals, UringEngine};

use crate::cli::ServeArgs;
use crate::command::engine::Engine;
use crate::exit;
use crate::render::lines::Lines;
use crate::render::log::Log;
use crate::render::{serve as render, warn};

pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    // Before any thread is there, so that all inherit it: signals are read, not delivered.
    let signals = watch::Signals::take()?;
    if let Some(expected) = args.life.exit_with_parent {
        parent::end_with(expected)?;
    }
    let plans = plan::plans(args)?;
    let mut config = plan::config(args);
    config.faults = plan::faults(args, &plans)?;
    let (engine, remark) = plan::engine(args, &plans)?;
    for advice in plan::warnings(args, &plans).iter().chain(&remark) {
        warn(advice);
    }
    if let Some(faults) = &config.faults {
        // There is nobody to tell when stderr is closed.
        let words = render::faults(&args.faults.fault);
        let _ = writeln!(io::stderr(), "sockkit: faults: {words}; drawn from --fault-seed {}", faults.seed);
    }
    let errors = Arc::new(Lines::stderr()?);
    let log = Arc::new(Log::new(args.verbose, Arc::clone(&errors)));
    let report = Report { json: args.json, stdout: Lines::stdout()?, stderr: errors };
    let server = Server::bind(plans, &config, log.clone())?;
    let room = server.limits().max_connections;
    if args.limits.max_connections.is_some_and(|wanted| wanted > room) {
        warn(&format!(
            "at most {room} connections at a time: the limit of open files leaves room for no more"
        ));
    }
    let listening = server.listening().to_vec();
    let running = match engine {
        Engine::Epoll => server.start::<EpollEngine>()?,
        Engine::Uring => server.start::<UringEngine>()?,
        Engine::Either => server.start::<EitherEngine>()?,
    };
    if let Err(error) = announce(&listening, args.json) {
        // Nobody will ever learn where it listens.
        running.abort();
        running.join()?;
        return Err(exit::not_written(&error));
    }
    let totals = watch::until_ended(running, &signals, args, &report)?;
    log.finish();
    report.tell("summary", &totals);
    report.finish();
    Ok(())
}

/// Where counters are told: as JSON on stdout, else as text on stderr. Nobody may be reading there; that is no reason to
/// stop serving, nor to stay when it is time to end.
struct Report {
    json: bool,
    stdout: Lines,
    stderr: Arc<Lines>,
}

impl Report {
    fn tell(&self, event: &str, totals: &Totals) {
        match self.json {
            true => self.stdout.say(render::json(event, totals).to_string()),
            false => self.stderr.say(format!("{event}: {}", render::text(totals))),
        };
    }

    fn finish(&self) {
        self.stdout.finish();
        self.stderr.finish();
    }
}

/// One line a listener on stdout: scripts wait for it.
fn announce(listening: &[Listening], json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for Listening { url, service } in listening {
        writeln!(stdout, "{}", render::listening(url, service, json))?;
    }
    stdout.flush()
}
