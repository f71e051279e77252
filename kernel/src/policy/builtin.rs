//! The policies and units that every build carries, and the lists that hold under all of them.

/// A built-in policy's text.
pub(super) fn policy(name: &str) -> Option<&'static str> {
    POLICIES.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// A unit's text: what one toolchain needs.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    UNITS.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// The built-in policies.
pub(super) const POLICIES: [(&str, &str); 3] = [
    ("strict", include_str!("builtin/strict.toml")),
    ("dev", include_str!("builtin/dev.toml")),
    ("offline-build", include_str!("builtin/offline-build.toml")),
];

/// The units.
pub(super) const UNITS: [(&str, &str); 7] = [
    ("git", include_str!("unit/git.toml")),
    ("python", include_str!("unit/python.toml")),
    ("node", include_str!("unit/node.toml")),
    ("rust", include_str!("unit/rust.toml")),
    ("go", include_str!("unit/go.toml")),
    ("java", include_str!("unit/java.toml")),
    ("c", include_str!("unit/c.toml")),
];

/// What another tool will later run or trust: read-only inside a writable place, in each folder of it. Wildcards are those of
/// patterns.
pub(super) const PROTECTED: [&str; 54] = [
    ".git/hooks",
    ".git/config",
    ".git/config.worktree",
    // Where git finds hooks and configuration instead.
    ".git/commondir",
    ".git/modules/**/hooks",
    ".git/modules/**/config",
    ".git/worktrees/*/config.worktree",
    ".git/info/attributes",
    ".gitmodules",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".vscode",
    ".idea",
    ".mcp.json",
    ".envrc",
    ".github/workflows",
    ".gitlab-ci.yml",
    ".circleci",
    ".cursor",
    ".claude",
    ".husky",
    ".pre-commit-config.yaml",
    ".npmrc",
    ".gitconfig",
    ".bash_aliases",
    ".bash_logout",
    ".config/fish",
    ".config/systemd/user",
    ".config/autostart",
    ".devcontainer",
    ".devcontainer.json",
    ".windsurf",
    ".codex",
    ".gemini",
    ".zed",
    ".cursorrules",
    ".aider.conf.yml",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    "mise.toml",
    ".mise.toml",
    "lefthook.yml",
    ".gdbinit",
    ".lldbinit",
    ".vimrc",
    ".exrc",
    ".travis.yml",
    "Jenkinsfile",
];

/// Secrets: refused whatever `read` says, unless a rule names the very file.
pub(super) const SECRETS: [&str; 42] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/ssh",
    "{home}/.ssh",
    "{home}/.local/state/cofferdam",
    "{home}/.config/cofferdam/authority.key",
    "{home}/.gnupg",
    "{home}/.aws",
    "{home}/.azure",
    "{home}/.config/gcloud",
    "{home}/.kube",
    "{home}/.docker",
    "{home}/.netrc",
    "{home}/.npmrc",
    "{home}/.pypirc",
    "{home}/.cargo/credentials",
    "{home}/.cargo/credentials.toml",
    "{home}/.git-credentials",
    "{home}/.config/git/credentials",
    "{home}/.config/gh",
    "{home}/.config/hub",
    "{home}/.password-store",
    "{home}/.local/share/keyrings",
    "{home}/.mozilla",
    "{home}/.config/chromium",
    "{home}/.config/google-chrome",
    "{home}/.bash_history",
    "{home}/.zsh_history",
    "{home}/.python_history",
    "{home}/.node_repl_history",
    "{home}/.psql_history",
    "{home}/.mysql_history",
    "{home}/.pgpass",
    "{home}/.my.cnf",
    "{home}/.terraformrc",
    "{home}/.vault-token",
    "{home}/.gem/credentials",
];
