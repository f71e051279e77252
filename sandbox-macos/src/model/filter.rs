//! What a rule asks of the subject of an operation.

use super::expression::{Expression, Units};
use super::syntax::Form;
use super::{Request, Subject, VnodeType};

#[derive(Clone, Debug)]
pub(super) enum Filter {
    Literal(String),
    Subpath(String),
    Expression(Box<Expression>),
    Vnode(VnodeType),
    OwnTerminal,
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Name(String),
    NamePrefix(String),
    SameSandbox,
    /// Any address, or one host and port; a host `*` is every host.
    Address(Option<(String, Option<u16>)>),
    SocketPath(Box<Self>),
    SocketDomain(String),
}

/// Reads a filter.
pub(super) fn read(form: &Form) -> Result<Filter, String> {
    let Form::List(list, _) = form else { return Err(format!("{form:?} is no filter")) };
    let (Some(Form::Symbol(name)), rest) = (list.first(), list.get(1..).unwrap_or_default()) else {
        return Err("a filter has no name".to_owned());
    };
    let text = || only_text(name, rest);
    let inner = || rest.iter().map(read).collect::<Result<Vec<_>, _>>();
    Ok(match name.as_str() {
        "literal" | "path-literal" | "path" => Filter::Literal(absolute(text()?)?),
        "subpath" => Filter::Subpath(absolute(text()?)?),
        "regex" => Filter::Expression(Box::new(Expression::parse(&text()?)?)),
        "require-all" => Filter::All(at_least_one(name, inner()?)?),
        "require-any" => Filter::Any(at_least_one(name, inner()?)?),
        "require-not" => match inner()?.as_slice() {
            [one] => Filter::Not(Box::new(one.clone())),
            _ => return Err("`require-not` takes one filter".to_owned()),
        },
        "vnode-type" => Filter::Vnode(match symbol(name, rest)? {
            "REGULAR-FILE" => VnodeType::RegularFile,
            "DIRECTORY" => VnodeType::Directory,
            "SYMLINK" => VnodeType::Symlink,
            "CHARACTER-DEVICE" => VnodeType::CharacterDevice,
            other => return Err(format!("the vnode type `{other}` is not known here")),
        }),
        "extension" if text()? == "com.apple.sandbox.pty" => Filter::OwnTerminal,
        "global-name" | "sysctl-name" => Filter::Name(text()?),
        "sysctl-name-prefix" => Filter::NamePrefix(text()?),
        "target" if symbol(name, rest)? == "same-sandbox" => Filter::SameSandbox,
        "socket-domain" => Filter::SocketDomain(symbol(name, rest)?.to_owned()),
        "remote" | "local" => socket(rest)?,
        other => return Err(format!("the filter `{other}` is not known here")),
    })
}

/// `ip`, `ip "localhost:80"`, or `unix-socket (…)`.
fn socket(rest: &[Form]) -> Result<Filter, String> {
    match rest {
        [Form::Symbol(kind)] if kind == "ip" => Ok(Filter::Address(None)),
        [Form::Symbol(kind), Form::Text(address)] if kind == "ip" => {
            let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("`{address}` has no port"))?;
            if !matches!(host, "localhost" | "*") {
                return Err(format!("the host of `{address}` must be `localhost` or `*`"));
            }
            let port =
                if port == "*" { None } else { Some(port.parse().map_err(|_| format!("`{address}` has no port"))?) };
            Ok(Filter::Address(Some((host.to_owned(), port))))
        }
        [Form::Symbol(kind), path] if kind == "unix-socket" => Ok(Filter::SocketPath(Box::new(read(path)?))),
        _ => Err("an address of a kind that is not known here".to_owned()),
    }
}

fn symbol<'a>(name: &str, rest: &'a [Form]) -> Result<&'a str, String> {
    match rest {
        [Form::Symbol(symbol)] => Ok(symbol),
        _ => Err(format!("`{name}` takes one name")),
    }
}

fn only_text(name: &str, rest: &[Form]) -> Result<String, String> {
    match rest {
        [Form::Text(text)] | [Form::Raw(text)] => Ok(text.clone()),
        [Form::List(list, _)] if list.first() == Some(&Form::Symbol("string-append".to_owned())) => {
            let pieces = list.iter().skip(1).map(|piece| match piece {
                Form::Text(text) | Form::Raw(text) => Ok(text.as_str()),
                _ => Err(format!("`{name}` puts together something other than text")),
            });
            pieces.collect()
        }
        _ => Err(format!("`{name}` takes one text")),
    }
}

/// A path that is not absolute matches nothing and is a mistake; one that ends with a slash is taken otherwise by different versions.
fn absolute(path: String) -> Result<String, String> {
    let fine = path.starts_with('/') && (path == "/" || !path.ends_with('/'));
    if fine { Ok(path) } else { Err(format!("`{path}` is no absolute path without a slash at its end")) }
}

fn at_least_one(name: &str, filters: Vec<Filter>) -> Result<Vec<Filter>, String> {
    if filters.is_empty() { Err(format!("`{name}` is about nothing")) } else { Ok(filters) }
}

impl Filter {
    pub(super) fn matches(&self, request: &Request, units: Units) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(request, units)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(request, units)),
            Self::Not(filter) => !filter.matches(request, units),
            Self::SocketPath(filter) => {
                let Subject::SocketPath(path) = &request.subject else { return false };
                filter.matches_path(path, units)
            }
            _ => match &request.subject {
                Subject::Nothing => false,
                Subject::File { path, kind, own_terminal } => match self {
                    Self::Vnode(own) => own == kind,
                    Self::OwnTerminal => *own_terminal,
                    _ => self.matches_path(path, units),
                },
                Subject::Named(name) => match self {
                    Self::Name(own) => own == name,
                    Self::NamePrefix(own) => name.starts_with(own),
                    _ => false,
                },
                Subject::Address(host, port) => match self {
                    Self::Address(None) => true,
                    Self::Address(Some((own, own_port))) => {
                        (own == "*" || own == host) && own_port.is_none_or(|own| own == *port)
                    }
                    _ => false,
                },
                Subject::SocketPath(_) => false,
                Subject::SocketDomain(domain) => matches!(self, Self::SocketDomain(own) if own == domain),
                Subject::Process { same_sandbox } => matches!(self, Self::SameSandbox) && *same_sandbox,
            },
        }
    }

    fn matches_path(&self, path: &str, units: Units) -> bool {
        match self {
            Self::Literal(own) => own == path,
            Self::Subpath(own) => {
                let rest = path.strip_prefix(own.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Expression(expression) => expression.matches(path, units),
            _ => false,
        }
    }
}
