//! Packet scripts: whatever the text, reading it ends with a script or with an error that points into it.

use sockeye_lab::drill::{Script, line_of};

/// Reads a text; octets that are no UTF-8 are replaced, so that every input is one.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Script::parse("fuzz", &text) {
        Ok(script) => {
            // The same text is the same script.
            let again = Script::parse("fuzz", &text).expect("it was one before");
            assert_eq!((script.events(), &script.notes), (again.events(), &again.notes));
        }
        Err(fault) => {
            let span = fault.span;
            assert!(
                span.start <= span.end && span.end <= text.len(),
                "{span:?} of {}",
                text.len()
            );
            assert!(text.get(span.range()).is_some(), "{span:?} divides a character");
            assert!(!fault.message.is_empty() && !fault.label.is_empty());
            let (line, column) = line_of(&text, span.start);
            assert!(line > 0 && column > 0);
        }
    }
}
