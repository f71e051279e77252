//! The policies in the documents are policies.

use cofferdam_kernel::policy::{NoFiles, Placeholders, Policy};
use cofferdam_kernel::session::SessionSpec;
use std::collections::BTreeMap;

#[test]
fn every_policy_in_the_documents_is_read_and_compiled() {
    let mut places = Placeholders::default();
    places.workspace = Some("/w".to_owned());
    places.home = Some("/home/u".to_owned());
    let documents = [include_str!("../../README.md"), include_str!("../../docs/policy.md")];
    let blocks: Vec<&str> = documents
        .iter()
        .flat_map(|text| text.split("```toml\n").skip(1))
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 2);
    for text in blocks {
        let policy = Policy::parse(text, "document", &NoFiles).unwrap_or_else(|error| panic!("{error}\n{text}"));
        policy.compile(&places, &BTreeMap::new()).unwrap();
    }
}

#[test]
fn every_session_file_in_the_documents_is_one() {
    let documents = [include_str!("../../README.md"), include_str!("../../docs/sessions.md")];
    let blocks = documents.iter().flat_map(|text| text.split("```toml session\n").skip(1));
    let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 2);
    for text in blocks {
        let spec = SessionSpec::parse(text, "document").unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(spec.commands().count() >= 2);
    }
}
