//! A policy: a document and all it extends and includes, read and checked.

use super::builtin;
use super::document::Document;
use super::lint;
use super::tree::invalid;
use cofferdam_bridge::environment::loads_code;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::NetworkMode;

/// Where files that policies name come from. The kernel reads no files itself.
pub trait PolicySource {
    /// The text of the policy file at `path`, which stands in the policy `from`.
    ///
    /// # Errors
    /// `policy_not_found` when there is none, or whatever reading it met.
    fn read(&self, path: &str, from: &str) -> Result<String, BridgeError>;
}

/// A source that has no files: only built-in policies can be extended.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it is complete: it has nothing")]
pub struct NoFiles;

impl PolicySource for NoFiles {
    fn read(&self, path: &str, from: &str) -> Result<String, BridgeError> {
        Err(not_found(path, from))
    }
}

/// A validated policy. Everything that it does not allow is refused.
#[derive(Clone)]
pub struct Policy {
    name: String,
    /// From what is extended to what extends it.
    pub(super) layers: Vec<Document>,
}

/// Values of variables stay out of logs.
impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers: Vec<&str> = self.layers.iter().map(|layer| layer.source.as_str()).collect();
        f.debug_struct("Policy").field("name", &self.name).field("layers", &layers).finish()
    }
}

/// As many policies as may extend one another.
const MOST_LAYERS: usize = 16;

impl Policy {
    /// The built-in policy that holds when none is given: system programs, private `/tmp`, no network.
    pub fn strict() -> Self {
        Self::builtin("strict").unwrap_or(Self { name: "strict".to_owned(), layers: Vec::new() })
    }

    /// A built-in policy: `strict`, `dev` or `offline-build`.
    ///
    /// # Errors
    /// `policy_not_found`, naming those that exist.
    pub fn builtin(name: &str) -> Result<Self, BridgeError> {
        let text = builtin::policy(name).ok_or_else(|| {
            let known: Vec<_> = Self::builtin_names().collect();
            let message = format!("there is no built-in policy `{name}`; there are {}", known.join(", "));
            BridgeError::new(ErrorCode::PolicyNotFound, message).with("name", name)
        })?;
        Self::parse(text, &format!("built-in {name}"), &NoFiles).map(|policy| Self { name: name.to_owned(), ..policy })
    }

    /// The names of the built-in policies.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        builtin::POLICIES.iter().map(|(name, _)| *name)
    }

    /// A built-in policy's file, as a person would write it.
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        builtin::policy(name)
    }

    /// Reads a policy. `source_name` is what messages call it, usually its path; `files` finds what it extends.
    ///
    /// ```
    /// use cofferdam_kernel::policy::{NoFiles, Policy};
    /// let text = "version = 1\nextends = \"strict\"\n[filesystem]\nread = [\"/srv/data\"]\n";
    /// let policy = Policy::parse(text, "mine.toml", &NoFiles)?;
    /// assert_eq!(policy.name(), "mine.toml");
    /// # Ok::<(), cofferdam_bridge::error::BridgeError>(())
    /// ```
    ///
    /// # Errors
    /// `policy_invalid` with file, line and column; `policy_not_found` for what it extends.
    pub fn parse(text: &str, source_name: &str, files: &dyn PolicySource) -> Result<Self, BridgeError> {
        let policy = Self::read(text, source_name, files)?;
        policy.check()?;
        Ok(policy)
    }

    /// Reads a policy that lines from elsewhere than a file complete, as [`with_lines`](Self::with_lines) adds them: both are judged
    /// together, so that an entry of the file may be about what only those lines allow.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with_lines(
        text: &str,
        source_name: &str,
        files: &dyn PolicySource,
        (lines, lines_name): (&str, &str),
    ) -> Result<Self, BridgeError> {
        Self::read(text, source_name, files)?.with_lines(lines, lines_name)
    }

    /// All layers, none of which is judged yet.
    fn read(text: &str, source_name: &str, files: &dyn PolicySource) -> Result<Self, BridgeError> {
        let mut layers = Vec::new();
        let mut next = Some((text.to_owned(), source_name.to_owned()));
        while let Some((text, source)) = next.take() {
            let document = Document::parse(&text, &source)?;
            let mut units = Vec::new();
            for entry in &document.include {
                let unit = builtin::unit(&entry.text).ok_or_else(|| {
                    let known: Vec<_> = builtin::UNITS.iter().map(|(name, _)| *name).collect();
                    invalid(
                        &source,
                        entry.place,
                        &format!("there is no unit `{}`; there are {}", entry.text, known.join(", ")),
                    )
                })?;
                units.push(Document::parse(unit, &format!("built-in unit {}", entry.text))?);
            }
            if let Some(entry) = &document.extends {
                let (text, name) = match builtin::policy(&entry.text) {
                    Some(text) => (text.to_owned(), format!("built-in {}", entry.text)),
                    None => (files.read(&entry.text, &source).map_err(|error| at(entry, error))?, entry.text.clone()),
                };
                if layers.len() >= MOST_LAYERS
                    || layers.iter().any(|layer: &Document| layer.source == name)
                    || name == source
                {
                    return Err(invalid(
                        &source,
                        entry.place,
                        &format!("`{name}` is extended in a circle, or {MOST_LAYERS} deep"),
                    ));
                }
                next = Some((text, name));
            }
            layers.push(document);
            layers.extend(units);
        }
        layers.reverse();
        Ok(Self { name: source_name.to_owned(), layers })
    }

    /// Adds lines from elsewhere than a file: `source_name` is what refusals call them, such as `command line`.
    ///
    /// # Errors
    /// `policy_invalid`, as [`parse`](Self::parse).
    pub fn with_lines(mut self, text: &str, source_name: &str) -> Result<Self, BridgeError> {
        let mut document = Document::parse(text, source_name)?;
        let entries = [&mut document.read, &mut document.write, &mut document.deny, &mut document.protect];
        for entry in entries.into_iter().flatten() {
            // These lines were made, not written: their numbers would tell nobody anything.
            entry.rule.line = None;
        }
        self.layers.push(document);
        self.check()?;
        Ok(self)
    }

    /// The same without a network: nothing is reached, asked about or published.
    #[must_use]
    pub fn without_network(mut self) -> Self {
        for layer in &mut self.layers {
            layer.network_mode = Some(NetworkMode::Deny);
            layer.network_allow.clear();
            layer.network_datagrams.clear();
            layer.prompt_network.clear();
            layer.listen.clear();
            layer.http.clear();
            layer.http_authority = None;
        }
        self
    }

    /// The policy's name: a built-in's, or the file it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), BridgeError> {
        self.check_environment()?;
        self.check_unprotect()?;
        lint::check(&self.layers)
    }

    /// A name that nothing protects was misspelt, or is thought to be protected and is not.
    fn check_unprotect(&self) -> Result<(), BridgeError> {
        for layer in &self.layers {
            for entry in &layer.unprotect {
                if !builtin::PROTECTED.contains(&entry.text.as_str()) {
                    let known = builtin::PROTECTED.join(", ");
                    let why = format!(
                        "`{}` is not on the built-in list, so it cannot be taken off it; on it are {known}",
                        entry.text
                    );
                    return Err(invalid(&layer.source, entry.place, &why));
                }
            }
        }
        Ok(())
    }

    fn check_environment(&self) -> Result<(), BridgeError> {
        for layer in &self.layers {
            for entry in &layer.pass {
                if loads_code(&entry.text) {
                    let why = format!(
                        "`{}` tells a loader or an interpreter what to load, so it is never passed on; write it under `environment.set` with the value you mean",
                        entry.text
                    );
                    return Err(invalid(&layer.source, entry.place, &why));
                }
            }
        }
        Ok(())
    }
}

/// Adds the line of the entry that named what was not found.
fn at(entry: &super::document::Entry, error: BridgeError) -> BridgeError {
    match entry.place {
        Some(place) => error.with("line", place.line).with("column", place.column),
        None => error,
    }
}

pub(super) fn not_found(path: &str, from: &str) -> BridgeError {
    let message =
        format!("{from}: there is no policy `{path}` to extend: it is neither built in nor a file that can be read");
    BridgeError::new(ErrorCode::PolicyNotFound, message).with("name", path)
}
