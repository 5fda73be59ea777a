//! Every text is there in every language, with the same values, and is said by somebody.

use std::path::Path;

use sockeye_apps::words::{Language, source};
use sockeye_testing::texts;

#[test]
fn every_text_in_every_language() {
    let [english, chinese] = Language::ALL.map(|language| texts::parse(source(language)));
    assert!(english.len() > 30);
    texts::same(&english, &chinese, &[("chat-from-client", "peer")]);
    texts::used(&chinese, &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
}
