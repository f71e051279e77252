//! A guest works on a repository, and then the host runs git there: nothing of the guest's runs on the host.

use cofferdam_tests::attack::{TIERS, Tier};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::path::Path;
use std::process::{Command, Output};

/// A repository with a commit, a submodule's place and a folder, made by the host; and beside it where a canary would appear.
struct Repository {
    folder: Scratch,
}

impl Repository {
    fn new() -> Self {
        let folder = Scratch::new();
        let line = "git init -q ws && cd ws && printf '[user]\\n\\temail = a@b.c\\n\\tname = n\\n' >> .git/config && mkdir sub && \
                    echo one > file && echo two > sub/other && git add . && git commit -qm first && echo changed > file";
        let made = Command::new("sh").args(["-c", line]).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        // What an attack would run: it leaves its mark beside the workspace, where no guest can.
        folder.write("ws/evil", "#!/bin/sh\ntouch ../canary ../../canary 2>/dev/null; cat 2>/dev/null\n");
        Command::new("chmod").arg("755").arg(folder.join("ws/evil")).status().unwrap();
        Self { folder }
    }

    fn workspace(&self) -> std::path::PathBuf {
        self.folder.join("ws")
    }

    /// What the host does every day.
    fn host_works(&self) -> Output {
        let line = "git status -s; git diff; git commit -qam second; git checkout -q -b x";
        let mut shell = Command::new("timeout");
        shell.args(["10", "sh", "-c", line]).current_dir(self.workspace());
        shell.env("GIT_PAGER", "cat").env("GIT_EDITOR", "true").output().unwrap()
    }

    fn is_marked(&self) -> bool {
        self.folder.join("canary").exists()
    }
}

/// After the guest's `line` the host's git runs the canary outside, and not when the line was run in the sandbox.
#[track_caller]
fn assert_runs_nothing(line: &str) {
    if skip::program("git").is_none() {
        return;
    }
    let control = Repository::new();
    Command::new("sh").args(["-c", line]).current_dir(control.workspace()).output().unwrap();
    let worked = control.host_works();
    assert!(control.is_marked(), "control: `{line}` makes the host's git run nothing: {worked:?}");
    for tier in TIERS {
        let repository = Repository::new();
        let seen = guest(tier, &repository.workspace(), line);
        assert_ne!(seen.status.code(), Some(125), "{tier:?} was not run: {seen:?}");
        let worked = repository.host_works();
        assert!(!repository.is_marked(), "{tier:?} `{line}`: {seen:?}: {worked:?}");
    }
}

fn guest(tier: Tier, workspace: &Path, line: &str) -> Output {
    tier.run(workspace, &[], &["sh", "-c", line]).output().unwrap()
}

#[test]
fn fs_28_settings_that_name_a_program_are_not_made() {
    for line in [
        "git config core.fsmonitor \"$PWD/evil\"",
        "git config diff.external \"$PWD/evil\"",
        "git config core.hooksPath \"$PWD/hooks\"; mkdir hooks; cp evil hooks/post-commit; cp evil hooks/pre-commit",
        "git config filter.x.clean \"$PWD/evil\"; echo '* filter=x' > .gitattributes",
        "printf '[core]\\n\\tfsmonitor = %s/evil\\n' \"$PWD\" >> .git/config",
    ] {
        assert_runs_nothing(line);
    }
}

#[test]
fn fs_28_hooks_and_included_settings_are_not_made() {
    for line in [
        "cp evil .git/hooks/pre-commit; cp evil .git/hooks/post-checkout; cp evil .git/hooks/post-commit",
        "mv .git/hooks .git/old; mkdir .git/hooks; cp evil .git/hooks/post-commit",
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor \"$PWD/evil\"",
        "cp .git/config c; git config -f c core.fsmonitor \"$PWD/evil\"; mv c .git/config",
    ] {
        assert_runs_nothing(line);
    }
}

#[test]
fn fs_29_another_repository_is_not_put_in_its_place() {
    for line in [
        // The whole repository, by a file that points elsewhere or a link.
        "cp -r .git gone; git config -f gone/config core.fsmonitor \"$PWD/evil\"; mv .git old; echo 'gitdir: ./gone' > .git",
        "cp -r .git gone; git config -f gone/config core.fsmonitor \"$PWD/evil\"; mv .git old; ln -s gone .git",
        "cp -r .git gone; git config -f gone/config core.fsmonitor \"$PWD/evil\"; mv .git old; mv gone .git",
        // Its common part.
        "cp -r .git gone; git config -f gone/config core.fsmonitor \"$PWD/evil\"; echo ../gone > .git/commondir",
    ] {
        assert_runs_nothing(line);
    }
}

#[test]
fn fs_29_a_repository_dropped_in_a_folder_is_listed() {
    if skip::program("git").is_none() {
        return;
    }
    // In a folder where there was none it is what `git init` makes, so it is made, and told of.
    for (line, listed) in [
        ("git init -q --bare sub/bare", "sub/bare/HEAD"),
        (
            "cd sub && mkdir objects refs && echo 'ref: refs/heads/x' > HEAD && printf '[core]\\n\\tfsmonitor = ../evil\\n\\tworktree = .\\n' > config",
            "sub/HEAD",
        ),
        ("cd sub && git init -q . ", "sub/.git"),
    ] {
        for tier in TIERS {
            let repository = Repository::new();
            let result = tier.shell(&repository.workspace(), &[], line);
            let told = result["executable_later"].to_string();
            assert!(told.contains(listed), "{tier:?} `{line}`: {result}");
        }
    }
}

#[test]
fn fs_27_what_tools_run_by_themselves_is_kept_or_listed() {
    let protected = [
        ".git/hooks/pre-push",
        ".git/config.worktree",
        ".git/info/attributes",
        ".git/commondir",
        ".gitmodules",
        ".bashrc",
        ".bash_profile",
        ".profile",
        ".zshrc",
        ".zshenv",
        ".npmrc",
        ".yarnrc.yml",
        ".pnpmfile.cjs",
        ".envrc",
        "mise.toml",
        ".vscode/tasks.json",
        ".idea/workspace.xml",
        ".devcontainer/devcontainer.json",
        ".mcp.json",
        ".claude/settings.json",
        ".cursor/mcp.json",
        ".codex/config.toml",
        ".gemini/settings.json",
        ".windsurf/x",
        ".aider.conf.yml",
        ".cursorrules",
        ".husky/pre-commit",
        ".pre-commit-config.yaml",
        "lefthook.yml",
        ".github/workflows/x.yml",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        ".travis.yml",
        "Jenkinsfile",
        ".config/systemd/user/x.service",
        ".config/autostart/x.desktop",
        ".config/fish/config.fish",
        ".gitconfig",
        ".gdbinit",
        ".vimrc",
    ];
    let listed = ["venv/pyvenv.cfg", "conftest.py", "sitecustomize.py", "AGENTS.md", "CLAUDE.md", "x.pth", "tool"];
    for tier in TIERS {
        let inside = Scratch::new();
        for existing in
            [".git/config", ".git/hooks/a.sample", ".git/info/exclude", "venv/lib", ".config/systemd/x", ".github/x"]
        {
            inside.write(existing, "");
        }
        let all: Vec<&str> = protected.iter().chain(&listed).copied().collect();
        // As programs do it: in existing folders, and where they make the folder themselves.
        let line = format!(
            "for f in {}; do mkdir -p $(dirname $f) 2>/dev/null; echo evil > $f; done 2>/dev/null; chmod +x tool; true",
            all.join(" ")
        );
        let result = tier.shell(inside.path(), &[], &line);
        let told = result["executable_later"].to_string();
        for name in protected {
            assert!(!inside.join(name).exists(), "{tier:?} {name} was made: {result}");
        }
        for name in listed {
            assert!(inside.join(name).exists() && told.contains(name), "{tier:?} {name}: {told}");
        }
        let refused = result["denials"].to_string();
        assert!(refused.contains("built-in protect") && refused.contains(".mcp.json"), "{refused}");
    }
}
