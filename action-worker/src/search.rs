//! Searches files, by the libraries of ripgrep.

use crate::{fault, list};
use cofferdam_bridge::action::{FileSearch, FileSearched, SearchMatch};
use cofferdam_bridge::error::BridgeError;
use grep_matcher::Matcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, MmapChoice, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder};
use std::path::Path;

/// As much memory as a compiled expression may take, in bytes.
const EXPRESSION_SIZE: usize = 4 << 20;

/// As much of one line is held, in bytes: files of endless lines are left out.
const LINE_MEMORY: usize = 4 << 20;

pub(crate) fn search(asked: &FileSearch) -> Result<FileSearched, BridgeError> {
    if asked.most == 0 || asked.most > FileSearch::MOST {
        return Err(fault::invalid(format!("`most` is from 1 to {}", FileSearch::MOST)));
    }
    if asked.pattern.is_empty() || asked.pattern.len() > FileSearch::LONGEST_PATTERN {
        return Err(fault::invalid(format!("`pattern` has from 1 to {} bytes", FileSearch::LONGEST_PATTERN)));
    }
    let root = Path::new(&asked.path);
    root.symlink_metadata().map_err(|error| fault::of("searching", &asked.path, &error))?;
    let matcher = matcher(asked)?;
    let searcher = SearcherBuilder::new()
        .line_number(true)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_MEMORY))
        .memory_map(MmapChoice::never())
        .build();
    let most = usize::try_from(asked.most).unwrap_or(usize::MAX);
    let found = FileSearched::new(Vec::new(), false, 0, 0);
    let plain = !asked.everything;
    let walk = WalkBuilder::new(root)
        .standard_filters(plain)
        .require_git(false)
        // What lies above the place is none of its affair, and may not be visible.
        .parents(false)
        .git_global(false)
        .sort_by_file_path(Ord::cmp)
        .overrides(included(root, &asked.include)?)
        .build();
    let mut search = Search { searcher, matcher, root, most, longest: asked.longest_file, found };
    for entry in walk {
        let Ok(entry) = entry else {
            search.found.left_out += 1;
            continue;
        };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        if search.found.matches.len() >= most {
            search.found.truncated = true;
            break;
        }
        search.look(&entry);
    }
    Ok(search.found)
}

/// A search under way.
struct Search<'a> {
    searcher: Searcher,
    matcher: RegexMatcher,
    root: &'a Path,
    most: usize,
    longest: u64,
    found: FileSearched,
}

impl Search<'_> {
    fn look(&mut self, entry: &DirEntry) {
        if entry.metadata().map_or(true, |facts| facts.len() > self.longest) {
            self.found.left_out += 1;
            return;
        }
        let path = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let room = self.most - self.found.matches.len();
        let mut lines = Lines { matcher: &self.matcher, path, matches: Vec::new(), room, more: false, binary: false };
        let searched = self.searcher.search_path(&self.matcher, entry.path(), &mut lines);
        if searched.is_err() || lines.binary {
            self.found.left_out += 1;
            return;
        }
        self.found.files += 1;
        self.found.truncated |= lines.more;
        self.found.matches.append(&mut lines.matches);
    }
}

fn matcher(asked: &FileSearch) -> Result<RegexMatcher, BridgeError> {
    let mut builder = RegexMatcherBuilder::new();
    builder.case_insensitive(asked.ignore_case).fixed_strings(!asked.regex).size_limit(EXPRESSION_SIZE);
    builder.line_terminator(Some(b'\n'));
    // What the library says of a fault quotes the pattern.
    builder.build(&asked.pattern).map_err(|_| {
        fault::invalid(
            "`pattern` is no regular expression that fits into one line, or one of more than 4 MiB when compiled",
        )
    })
}

fn included(root: &Path, globs: &[String]) -> Result<Override, BridgeError> {
    let mut builder = OverrideBuilder::new(root);
    for (place, glob) in globs.iter().enumerate() {
        builder.add(glob).map_err(|_| fault::invalid(format!("`include` number {place} is no glob")))?;
    }
    builder.build().map_err(|_| fault::invalid("`include` holds what cannot be put together"))
}

/// The matching lines of one file.
struct Lines<'a> {
    matcher: &'a RegexMatcher,
    path: &'a Path,
    matches: Vec<SearchMatch>,
    room: usize,
    more: bool,
    binary: bool,
}

impl Sink for Lines<'_> {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        if self.matches.len() >= self.room {
            self.more = true;
            return Ok(false);
        }
        let bytes = line.bytes().strip_suffix(b"\n").unwrap_or(line.bytes());
        let column = self.matcher.find(bytes).ok().flatten().map_or(1, |place| place.start() as u64 + 1);
        let shown = bytes.get(..FileSearch::LONGEST_LINE).unwrap_or(bytes);
        let text = String::from_utf8_lossy(shown).into_owned();
        self.matches.push(SearchMatch::new(list::name(self.path), line.line_number().unwrap_or(0), column, text));
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, _: &SinkContext<'_>) -> Result<bool, Self::Error> {
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> Result<(), Self::Error> {
        self.binary = end.binary_byte_offset().is_some();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::action::PathName;
    use std::fs;
    use std::path::PathBuf;

    fn project(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("cofferdam-search-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/a.rs"), "one\nlet needle = 1; // needle\nNEEDLE\n").unwrap();
        fs::write(root.join("b.txt"), "x.y needle\nxzy\n").unwrap();
        fs::write(root.join(".gitignore"), "out\n").unwrap();
        fs::write(root.join("out"), "needle\n").unwrap();
        fs::write(root.join("binary"), b"needle\0needle\n").unwrap();
        root
    }

    fn places(found: &FileSearched) -> Vec<(String, u64, u64)> {
        let path = |name: &PathName| match name {
            PathName::Path(path) => path.clone(),
            other => format!("{other:?}"),
        };
        found.matches.iter().map(|one| (path(&one.name), one.line, one.column)).collect()
    }

    #[test]
    fn lines_by_path_without_what_is_ignored_or_binary() {
        let root = project("lines");
        let mut asked = FileSearch::new(root.to_str().unwrap(), "needle");
        let found = search(&asked).unwrap();
        assert_eq!(places(&found), [("b.txt".to_owned(), 1, 5), ("src/a.rs".to_owned(), 2, 5)]);
        assert_eq!((found.files, found.left_out, found.truncated), (2, 1, false));
        asked.everything = true;
        assert_eq!(places(&search(&asked).unwrap()).len(), 3);
        (asked.everything, asked.ignore_case, asked.include) = (false, true, vec!["*.rs".to_owned()]);
        assert_eq!(places(&search(&asked).unwrap()).len(), 2);
        asked.most = 1;
        assert!(search(&asked).unwrap().truncated);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_text_is_no_expression_and_faults_do_not_quote_it() {
        let root = project("regex");
        let mut asked = FileSearch::new(root.to_str().unwrap(), "x.y");
        assert_eq!(search(&asked).unwrap().matches.len(), 1);
        asked.regex = true;
        assert_eq!(search(&asked).unwrap().matches.len(), 2);
        asked.pattern = "(hush-hush".to_owned();
        assert!(!search(&asked).unwrap_err().message.contains("hush"));
        asked.pattern = r"\w{1000}{1000}".to_owned();
        assert!(search(&asked).is_err(), "too large");
        fs::remove_dir_all(&root).unwrap();
    }
}
