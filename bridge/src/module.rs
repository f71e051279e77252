//! Where JavaScript modules come from.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::filesystem::PathRequest;
use crate::request::requests;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a module is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModuleMode {
    /// By `require`.
    Require,
    /// By `import`.
    Import,
}

/// What a file is, as a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ModuleFormat {
    /// An ECMAScript module.
    Module,
    /// A CommonJS module.
    CommonJs,
    /// JSON.
    Json,
}

requests! {
    /// Asks which file a specifier means.
    ResolveModuleRequest {
        /// As it stands in the source.
        specifier: String,
        /// The directory of the source, absolute.
        from_dir: String,
        /// How it is asked for; `import` where it is absent.
        mode: Option<ModuleMode>,
    }
    /// Asks what a file is.
    ModuleFormatRequest {
        /// Its absolute path.
        filename: String,
    }
}

/// Finds and loads modules in a VM's files.
pub trait ModuleBridge: BridgeTypes {
    /// The absolute path of the file that a specifier means.
    fn resolve_module(&self, call: &CallContext, request: ResolveModuleRequest) -> Result<String, Self::Error>;
    /// A source file as text.
    fn load_file(&self, call: &CallContext, request: PathRequest) -> Result<String, Self::Error>;
    /// What a file is; none for what is no module.
    fn module_format(
        &self,
        call: &CallContext,
        request: ModuleFormatRequest,
    ) -> Result<Option<ModuleFormat>, Self::Error>;
}
