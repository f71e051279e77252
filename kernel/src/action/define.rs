//! What an action is.

use super::step::{Plan, StepEnd};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A typed operation. Its methods compute; what it does to the world is in the steps that it plans, which run inside a plane.
///
/// **Guarantees of the kernel.** `arguments` fit their schema and passed [`validate`](Self::validate). Nothing is run before the policy
/// has been asked about every access of the plan. Steps run one after the other, and none after one that failed. All of them together
/// end when the action's time has passed.
///
/// **Duties of an action.** Errors and results hold no secret that was not in its arguments or in what the programs printed.
pub trait Action: Send + Sync + 'static {
    /// What it is asked with. `#[serde(deny_unknown_fields)]` makes a mistyped field an error.
    type Arguments: DeserializeOwned + JsonSchema + Send + Sync;
    /// What comes of it.
    type Output: Serialize + JsonSchema;

    /// Its name: small letters, digits and `_`.
    fn name(&self) -> &str;

    /// What it does, in one sentence.
    fn summary(&self) -> &str;

    /// Whether the arguments make sense together.
    ///
    /// # Errors
    /// What is wrong with them.
    fn validate(&self, arguments: &Self::Arguments) -> Result<(), BridgeError> {
        let _ = arguments;
        Ok(())
    }

    /// What it asks of the policy, and what is to run. A dry run ends with this.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    fn plan(&self, arguments: &Self::Arguments, place: &Place) -> Result<Plan, BridgeError>;

    /// The result of what ran. Called when each step succeeded, or failed where it may.
    ///
    /// # Errors
    /// What the programs tell of a failure.
    fn conclude(&self, arguments: &Self::Arguments, ends: &[StepEnd]) -> Result<Self::Output, BridgeError>;
}

/// Where an action happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Where programs start: an absolute path inside.
    pub directory: String,
}

impl Place {
    /// A place where programs start in `directory`.
    pub fn new(directory: impl Into<String>) -> Self {
        Self { directory: directory.into() }
    }

    /// The absolute path that `path` names here. Links in it are followed by whoever opens it, inside.
    ///
    /// # Errors
    /// `path_invalid` for an empty path and one with a NUL byte or `..` in it, whose meaning would depend on links.
    pub fn resolve(&self, path: &str) -> Result<String, BridgeError> {
        let invalid = |why: &str| BridgeError::new(ErrorCode::PathInvalid, format!("the path {why}"));
        if path.is_empty() || path.contains('\0') {
            return Err(invalid("is empty or holds a NUL byte"));
        }
        let whole = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.directory) };
        let mut components = Vec::new();
        for component in whole.split('/').filter(|component| !component.is_empty() && *component != ".") {
            if component == ".." {
                return Err(invalid("holds `..`; name the place from the root"));
            }
            components.push(component);
        }
        Ok(format!("/{}", components.join("/")))
    }
}

/// An action, told to whoever may want to use it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionDescriptor {
    /// Its name.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// The JSON Schema of its arguments.
    pub arguments: Value,
    /// The JSON Schema of its output.
    pub output: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_and_never_leads_up() {
        let place = Place::new("/w");
        let table = [("a/./b//c", "/w/a/b/c"), ("/x/", "/x"), ("/", "/"), (".", "/w")];
        for (path, whole) in table {
            assert_eq!(place.resolve(path).unwrap(), whole);
        }
        for path in ["", "a\0", "../x", "a/../b", "/.."] {
            assert_eq!(place.resolve(path).unwrap_err().code, ErrorCode::PathInvalid, "{path:?}");
        }
    }
}
