//! What a kernel of this command is made of.

use crate::audit_log::{self, Recording};
use crate::compose::{self, PlaneName};
use crate::failure::Failure;
use crate::plane_choice::{self, OwnPlane};
use crate::report::human;
use crate::telemetry;
use crate::terminal::questions::Questions;
use cofferdam_bridge::ids::KernelId;
use cofferdam_kernel::{Kernel, KernelBuilder};
use cofferdam_plane_kit::host::{HostFigures, HostGrants, HostRandom};
use cofferdam_plane_kit::network::resolver::{FixedName, FixedNames, SystemResolver};
use cofferdam_plane_kit::network::upstream::Upstream;
use std::sync::Arc;

/// The parts of a kernel, which are put together by [`kernel`](Self::kernel).
#[must_use]
pub(crate) struct KernelParts {
    plane: PlaneName,
    ahead: bool,
    recording: Recording,
    names: Vec<FixedName>,
    questions: Option<Questions>,
}

impl KernelParts {
    /// A kernel with `plane`, which gets ready for its first program while the policy is still being read, and records as usual.
    pub(crate) fn new(plane: PlaneName) -> Self {
        Self { plane, ahead: true, recording: Recording::Usual, names: Vec::new(), questions: None }
    }

    /// Starts nothing that it is not asked for.
    pub(crate) fn at_rest(mut self) -> Self {
        self.ahead = false;
        self
    }

    /// Whether it records what it runs.
    pub(crate) fn recording(mut self, recording: Recording) -> Self {
        self.recording = recording;
        self
    }

    /// Names of hosts that lead to where they say, not to where this machine would look them up.
    pub(crate) fn names(mut self, names: Vec<FixedName>) -> Self {
        self.names = names;
        self
    }

    /// Whom it asks what policies say to ask; nobody unless given.
    pub(crate) fn asking(mut self, questions: Option<Questions>) -> Self {
        self.questions = questions;
        self
    }

    /// Puts them together. The log is opened while the policy is still being read.
    pub(crate) fn kernel(self) -> Result<Kernel, Failure> {
        let recording = self.recording;
        let questions = self.questions.clone();
        let id = KernelId::random(&HostRandom::new())?;
        let mut builder = telemetry::attach(self.on_plane()?.id(id.clone()), &id);
        if let Some(questions) = questions {
            builder = builder.prompter(questions);
        }
        // Without a place to keep them no answer holds for always.
        if let Ok(store) = HostGrants::of_user() {
            builder = builder.grants(store);
        }
        Ok(match audit_log::recorder(recording)? {
            Some(recorder) => builder.audit(recorder).figures(HostFigures::new()).build()?,
            None => builder.build()?,
        })
    }

    fn on_plane(self) -> Result<KernelBuilder, Failure> {
        Ok(match self.plane {
            PlaneName::Own => Kernel::builder(self.own_plane()?),
            PlaneName::Host => Kernel::builder(plane_choice::host_plane()?),
            PlaneName::Process(path) => Kernel::builder(plane_choice::process(&path, &[])?),
        })
    }

    /// This machine's own sandbox, as other programs of the host go to the network, where a policy lets a run go there at all.
    fn own_plane(self) -> Result<OwnPlane, Failure> {
        let mut plane = plane_choice::own_plane()?;
        #[cfg(target_os = "linux")]
        if self.ahead {
            plane = plane.ahead();
        }
        match Upstream::of_environment(&compose::host_environment()) {
            Ok(None) => {}
            Ok(Some(upstream)) => plane = plane.reach_hosts_through(upstream),
            Err(why) => human::warn(&format!("HTTPS_PROXY is passed over: {why}")),
        }
        if !self.names.is_empty() {
            plane = plane.resolve_names_by(Arc::new(FixedNames::new(self.names, SystemResolver::default())));
        }
        Ok(plane)
    }
}
