//! Variables of an environment that make programs load code.

/// Variables that begin so tell a loader, git or a shell to load code.
const PREFIXES: [&str; 4] = ["LD_", "DYLD_", "GIT_", "BASH_FUNC_"];

/// Variables that tell an interpreter to load code, or which options to run with.
const NAMES: [&str; 37] = [
    "BASH_ENV",
    "BUNDLE_GEMFILE",
    "CLASSPATH",
    "COMPILER_PATH",
    "ENV",
    "GCC_EXEC_PREFIX",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "GUILE_LOAD_PATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "LUA_INIT",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "SHELLOPTS",
    "TCLLIBPATH",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// Whether a loader or an interpreter loads code, or changes what it loads, by the variable `name`. Such a variable never crosses from
/// a host; a policy may set it, in so many words.
///
/// ```
/// use cofferdam_bridge::environment::loads_code;
/// assert!(loads_code("LD_PRELOAD") && loads_code("NODE_OPTIONS"));
/// assert!(!loads_code("LANG"));
/// ```
pub fn loads_code(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}
