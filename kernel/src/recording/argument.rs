//! A program's arguments with what looks like a secret left out.
//!
//! It errs to the side of leaving out: options and variables with telling names, what follows a colon in the user part of an address,
//! tokens by their known beginnings, and long texts without spaces that look drawn by lot. A secret that looks like an ordinary word is not
//! recognised, which is why arguments are not recorded unless the host asks for it.

/// What stands in place of a secret.
const LEFT_OUT: &str = "‹redacted›";

/// Parts of names of options, variables and headers whose values are secrets.
const NAMES: [&str; 14] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "auth",
    "cookie",
    "session",
    "signature",
    "bearer",
    "passphrase",
];

/// How tokens of known services begin, from the services' own documentation.
const BEGINNINGS: [&str; 19] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "sk_live_",
    "rk_live_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "eyJ",
];

/// Option letters whose value is a secret or holds one: curl's -u and -H, mysql's -p.
const LETTERS: [&str; 3] = ["-u", "-H", "-p"];

/// From this many characters on a text without spaces may be drawn by lot.
const LONG: usize = 20;

/// The arguments, secrets left out.
pub(super) fn redacted(arguments: &[String]) -> Vec<String> {
    let mut value_is_secret = false;
    let mut shown = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let secret = std::mem::take(&mut value_is_secret);
        if secret && !argument.starts_with("--") {
            shown.push(LEFT_OUT.to_owned());
            continue;
        }
        value_is_secret = names_secret_value(argument);
        shown.push(of_one(argument));
    }
    shown
}

/// Whether the argument after this one is a secret.
fn names_secret_value(argument: &str) -> bool {
    let option = argument.starts_with('-') && !argument.contains(['=', ' ']);
    LETTERS.contains(&argument) || (option && telling(argument))
}

fn of_one(argument: &str) -> String {
    // A whole command line in one argument, as shells and headers have it: word by word.
    if argument.contains(char::is_whitespace) {
        let words: Vec<String> = argument.split_whitespace().map(str::to_owned).collect();
        let mut shown = redacted(&words);
        // `Authorization: Bearer x`: what comes after such a header is left out whole.
        if let Some(at) = words.iter().position(|word| word.ends_with(':') && telling(word)) {
            shown.truncate(at + 1);
            shown.push(LEFT_OUT.to_owned());
        }
        return shown.join(" ");
    }
    if let Some((name, value)) = argument.split_once('=')
        && !value.is_empty()
    {
        let value = if telling(name) { LEFT_OUT.to_owned() } else { word(value) };
        return format!("{name}={value}");
    }
    if let Some((name, _)) = argument.split_once(':').filter(|(name, rest)| telling(name) && !rest.is_empty()) {
        return format!("{name}:{LEFT_OUT}");
    }
    if let Some(letter) = LETTERS.iter().find(|letter| argument.len() > letter.len() && argument.starts_with(*letter)) {
        return format!("{letter}{LEFT_OUT}");
    }
    word(argument)
}

fn word(text: &str) -> String {
    if BEGINNINGS.iter().any(|beginning| text.contains(beginning) && text.len() > beginning.len() + 8) {
        return LEFT_OUT.to_owned();
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, query)| (place, query));
        let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
        let user = user.map(|_| format!("{LEFT_OUT}@")).unwrap_or_default();
        let query = if query.is_empty() { String::new() } else { format!("?{LEFT_OUT}") };
        return format!("{scheme}://{user}{host}{query}");
    }
    if drawn_by_lot(text) { LEFT_OUT.to_owned() } else { text.to_owned() }
}

/// A name that tells that its value is a secret, whatever stands between its words.
fn telling(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().any(|part| letters.contains(part)) || letters == "key"
}

/// A long text of letters and digits, both in some number, and no path.
fn drawn_by_lot(text: &str) -> bool {
    let drawn = |c: char| c.is_ascii_alphanumeric() || "+/=_-.".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    let slashes = text.chars().filter(|c| *c == '/').count();
    let names_a_path = text.starts_with(['/', '.', '-']) || slashes * 8 > text.len();
    text.len() >= LONG && text.chars().all(drawn) && !names_a_path && digits >= 3 && letters >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &[&str]) -> String {
        redacted(&arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn secrets_are_left_out_however_they_are_handed_over() {
        let secret = "S3CRETCANARY9f8e7d6c";
        for arguments in [
            vec!["--password", secret],
            vec!["--api-key=S3CRETCANARY9f8e7d6c"],
            vec!["API_TOKEN=S3CRETCANARY9f8e7d6c", "make"],
            vec!["-H", "Authorization: Bearer S3CRETCANARY9f8e7d6c"],
            vec!["-HX-Auth-Token:S3CRETCANARY9f8e7d6c"],
            vec!["-uuser:S3CRETCANARY9f8e7d6c"],
            vec!["https://user:S3CRETCANARY9f8e7d6c@example.org/x"],
            vec!["https://example.org/x?q=S3CRETCANARY9f8e7d6c"],
            vec!["-c", "curl -H 'Authorization: Bearer S3CRETCANARY9f8e7d6c' example.org"],
            vec!["-c", "export TOKEN=S3CRETCANARY9f8e7d6c; run"],
            vec!["ghp_S3CRETCANARY9f8e7d6c"],
            vec!["--with=sk-S3CRETCANARY9f8e7d6c"],
            vec![secret],
        ] {
            assert!(!shown(&arguments).contains("S3CRET"), "{arguments:?}: {}", shown(&arguments));
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for arguments in [
            vec!["build", "--release", "--jobs", "4"],
            vec!["-c", "make test && ls -l src"],
            vec!["/usr/lib/python3.11/site-packages/x86_64/module.py"],
            vec!["https://example.org/a/b"],
            vec!["-m", "pytest", "tests/test_one.py::test_two"],
        ] {
            assert_eq!(shown(&arguments), arguments.join(" "));
        }
    }
}
