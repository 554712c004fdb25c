//! Compares TLS-inspecting proxies from outside: one origin, one load generator, any number of proxies, one run.
//!
//! See `README.md` for what is measured and how to add a proxy.

mod floor;
mod load;
mod measure;
mod origin;
mod peer;
mod pki;
mod process;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use measure::{Measure, Mode};
use peer::Peer;

/// A run that fails says why, and ends.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "\
usage:
  compare hosts                        the lines that /etc/hosts needs, once
  compare run [options] PEER...        measures proxies; PEER is NAME or NAME:MODE (inspect, bypass), of peers/NAME.sh
  compare floor                        a relay that does the least that inspection takes; started by peers/floor.sh
options:
  --rounds N      how often each proxy is measured, in turns; the median counts (3)
  --only LIST     of start,cold,warm,http1,http2,bulk,idle
  --idle N        connections held open (1000)
  --peers DIR     where the scripts are (peers)
  --state DIR     where keys and the proxies' own files go (a new folder under the temporary one)
  --proxy-cpu N   the core of the proxy (1); origin and load generator get --load-cpu N (0)";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("hosts") => {
            pki::hosts().for_each(|host| println!("127.0.0.1 {host}"));
            Ok(())
        }
        Some("floor") => floor::serve(),
        Some("run") => Options::read(arguments).and_then(|options| run(&options)),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What `run` was asked for.
struct Options {
    rounds: usize,
    measures: Vec<Measure>,
    idle: usize,
    peers: PathBuf,
    state: PathBuf,
    proxy_cpu: String,
    load_cpu: String,
    wanted: Vec<(String, Mode)>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Fallible<Self> {
        let mut options = Self {
            rounds: 3,
            measures: Measure::ALL.to_vec(),
            idle: 1000,
            peers: PathBuf::from("peers"),
            state: std::env::temp_dir().join(format!("compare-{}", std::process::id())),
            proxy_cpu: "1".to_owned(),
            load_cpu: "0".to_owned(),
            wanted: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            if !argument.starts_with("--") {
                let (name, mode) = argument.split_once(':').unwrap_or((&argument, "inspect"));
                options.wanted.push((name.to_owned(), mode.parse()?));
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{argument} takes a value\n{USAGE}"))?;
            match argument.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.measures = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
                "--idle" => options.idle = value.parse()?,
                "--peers" => options.peers = value.into(),
                "--state" => options.state = value.into(),
                "--proxy-cpu" => options.proxy_cpu = value,
                "--load-cpu" => options.load_cpu = value,
                _ => return Err(format!("{argument} is not known\n{USAGE}").into()),
            }
        }
        if options.wanted.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }
}

fn run(options: &Options) -> Fallible<()> {
    std::fs::create_dir_all(&options.state)?;
    process::pin_this(&options.load_cpu)?;
    let files = pki::Files::write(&options.state)?;
    let origin = origin::start(&files)?;
    let peers = options.wanted.iter().map(|(name, mode)| Peer::new(options, name, *mode, &files));
    let peers = peers.collect::<Fallible<Vec<_>>>()?;
    let mut table = table::Table::new(peers.iter().map(Peer::column));
    // In turns, so that a disturbance of the machine falls on all of them.
    for round in 1..=options.rounds {
        for (column, peer) in peers.iter().enumerate() {
            eprintln!("round {round} of {}: {}", options.rounds, peer.column());
            let figures = measure::all(peer, &options.measures, options.idle, origin)?;
            for (name, value) in figures {
                eprintln!("  {name}: {value:.3}");
                table.add(column, name, value);
            }
        }
    }
    println!("{table}");
    Ok(())
}
