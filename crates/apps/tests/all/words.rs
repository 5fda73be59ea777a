//! Every text is there in every language, with the same values, and is said by somebody.

use crate::check;

use std::path::Path;

use sockeye_apps::words::{Language, source};

#[test]
fn every_text_in_every_language() {
    let [english, chinese] = Language::ALL.map(|language| check::parse(source(language)));
    assert!(english.len() > 30);
    check::same(&english, &chinese, &[("chat-from-client", "peer")]);
    check::used(&chinese, &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
}
