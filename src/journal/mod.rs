//! Connection records: what happened to each connection, what it means, and who is told.

mod diagnosis;
mod har;
mod history;
mod record;
mod store;
mod tally;
mod vocabulary;

pub use diagnosis::{Case, Diagnosis, LeafAudit, Refusal, Signature, alert_name, diagnose};
pub use har::Har;
pub use history::{ClientKey, History, Revision, Sighting, Verdict};
pub use record::{
    ClientCertificate, ClientFacts, ClientProcess, ConnectionRecord, DecisionFacts, End, Exchange, ForgedFacts,
    HandshakeFacts, OriginFacts, SeenFrame, Stages, Told, Via, WebSocketFacts,
};
pub use store::{Event, Journal, JournalLimits, Live, OwnedSubjects, Pen, Recording};
pub use tally::Tallied;
pub use vocabulary::{Cause, Confidence, DecisionKind, Outcome};
