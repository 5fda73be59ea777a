//! What is said to people, in their language.
//!
//! Texts stand in Fluent files, one a language: `words/en.ftl` and `words/zh.ftl` of each crate that says something.
//! [`Words`] has those of one language. [`Language::of_environment`] says which a person reads.
//!
//! The Chinese texts are worded as the tutorials' programs are, where a tutorial has such a line.

mod told;
mod value;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use fluent_langneg::{NegotiationStrategy, negotiate_languages};
use unic_langid::LanguageIdentifier;

pub use told::{Told, told};
pub use value::{Placeable, Value};

/// A text in the language of some [`Words`](crate::words::Words): `text!(words, "upper-closed", peer = address)`. The key
/// is written out, so that a test can see that it exists in each language, with these values.
#[macro_export]
macro_rules! text {
    ($words:expr, $key:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $words.text($key, &[$((stringify!($name), $crate::words::Placeable::value(&$value))),*])
    };
}

/// A language that there are texts in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// All there are.
    pub const ALL: [Language; 2] = [Language::English, Language::Chinese];
    /// Its tag: `en`, `zh`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }
    fn identifier(self) -> LanguageIdentifier {
        self.tag().parse().unwrap_or_default() // a tag of ours is one
    }
    /// That of the environment, as POSIX has it for messages: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is
    /// set and not empty. A locale in another language, `C` and `POSIX` mean English. `variable` reads a variable.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Language {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().map(variable);
        let locale = set.flatten().find(|value| !value.is_empty());
        locale.map_or(Language::English, |locale| Language::of_locale(&locale))
    }
    /// That of a locale as POSIX writes it: `zh_CN.UTF-8`, `en_GB`, `C`.
    fn of_locale(locale: &str) -> Language {
        // zh_CN.UTF-8@pinyin: what follows the territory is no part of a language's tag.
        let tag = locale.split(['.', '@']).next().unwrap_or_default();
        let Ok(wanted) = LanguageIdentifier::from_str(tag) else {
            return Language::English;
        };
        let there_are = Language::ALL.map(Language::identifier);
        let found = negotiate_languages(
            &[wanted],
            &there_are,
            Some(&there_are[0]),
            NegotiationStrategy::Lookup,
        );
        let is_found = |language: &Language| found.first().is_some_and(|tag| **tag == language.identifier());
        Language::ALL.into_iter().find(is_found).unwrap_or_default()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// The texts of this crate in a language, in Fluent's syntax.
pub fn source(language: Language) -> &'static str {
    match language {
        Language::English => include_str!("../../words/en.ftl"),
        Language::Chinese => include_str!("../../words/zh.ftl"),
    }
}

/// The texts of this crate in a language.
pub fn of(language: Language) -> &'static Words {
    static ENGLISH: LazyLock<Words> = LazyLock::new(|| Words::new(Language::English, &[]));
    static CHINESE: LazyLock<Words> = LazyLock::new(|| Words::new(Language::Chinese, &[]));
    match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    }
}

/// The texts of one language.
pub struct Words {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

impl Words {
    /// This crate's, and those of `further` files. What of a file is no Fluent, and what an earlier file has, is left
    /// out; tests of the crates that have files see to it that there is no such thing.
    pub fn new(language: Language, further: &[&str]) -> Words {
        let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
        // Marks around each value, which turn the direction of writing in a terminal, would be in the way: there is no
        // right-to-left language among ours, and what a peer sends is shown without such characters.
        bundle.set_use_isolating(false);
        for text in [source(language)].iter().chain(further) {
            let resource = match FluentResource::try_new((*text).into()) {
                Ok(resource) | Err((resource, _)) => resource,
            };
            let _ = bundle.add_resource(resource); // as documented
        }
        Words { language, bundle }
    }
    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }
    /// The text of a key with these values in their places. A key that does not exist is told as itself.
    pub fn text(&self, key: &str, values: &[(&'static str, Value<'_>)]) -> String {
        let Some(pattern) = self.bundle.get_message(key).and_then(|message| message.value()) else {
            return key.into();
        };
        let arguments: FluentArgs<'_> = values
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        let mut missing = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, Some(&arguments), &mut missing);
        text.into_owned()
    }
    /// An error in words. Those of the operating system that everybody meets have words of ours in languages that it
    /// does not speak itself; its number stays, for searching.
    pub fn error(&self, error: &io::Error) -> String {
        if let Some(told) = error.get_ref().and_then(|inner| inner.downcast_ref::<Told>()) {
            return told.text(self);
        }
        let is_bare = error.get_ref().is_none();
        match kind_key(error.kind()).filter(|_| is_bare && self.language != Language::English) {
            None => error.to_string(),
            Some(key) => match error.raw_os_error() {
                None => self.text(key, &[]),
                Some(number) => {
                    text!(
                        self,
                        "error-numbered",
                        what = self.text(key, &[]),
                        number = number
                    )
                }
            },
        }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.language)
    }
}

fn kind_key(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::ConnectionRefused => "error-refused",
        Kind::ConnectionReset => "error-reset",
        Kind::ConnectionAborted => "error-aborted",
        Kind::BrokenPipe => "error-broken-pipe",
        Kind::UnexpectedEof => "error-end",
        Kind::NotConnected => "error-not-connected",
        Kind::TimedOut => "error-timed-out",
        Kind::AddrInUse => "error-in-use",
        Kind::AddrNotAvailable => "error-no-such-address",
        Kind::PermissionDenied => "error-not-permitted",
        Kind::NetworkDown => "error-network-down",
        Kind::NetworkUnreachable => "error-no-network",
        Kind::HostUnreachable => "error-no-host",
        Kind::NotFound => "error-not-found",
        Kind::AlreadyExists => "error-exists",
        Kind::StorageFull => "error-full",
        Kind::IsADirectory => "error-is-directory",
        Kind::InvalidInput => "error-invalid",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_variables(set: &[(&str, &str)]) -> Language {
        Language::of_environment(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn the_environment_says_which() {
        use Language::{Chinese, English};
        for (locale, language) in [
            ("zh_CN.UTF-8", Chinese),
            ("zh", Chinese),
            ("zh_CN.GB18030@stroke", Chinese),
            ("zh-Hans-CN", Chinese),
            ("en_GB.UTF-8", English),
            ("de_DE.UTF-8", English),
            ("C.UTF-8", English),
            ("POSIX", English),
            ("", English),
            ("!!", English),
        ] {
            assert_eq!(of_variables(&[("LANG", locale)]), language, "{locale}");
        }
        assert_eq!(of_variables(&[]), English);
        // LC_ALL before LC_MESSAGES before LANG; what is empty is not set.
        let [zh, en, empty] = ["zh_CN.UTF-8", "en_US.UTF-8", ""];
        for (all, messages, lang, language) in [
            (zh, en, en, Chinese),
            (en, zh, zh, English),
            (empty, zh, en, Chinese),
            (empty, en, zh, English),
            (empty, empty, zh, Chinese),
        ] {
            let set = [("LC_ALL", all), ("LC_MESSAGES", messages), ("LANG", lang)];
            assert_eq!(of_variables(&set), language, "{set:?}");
        }
    }

    #[test]
    fn errors_of_the_operating_system() {
        let refused = || io::Error::from_raw_os_error(111);
        assert_eq!(of(Language::English).error(&refused()), refused().to_string());
        assert_eq!(
            of(Language::Chinese).error(&refused()),
            "连接被拒绝 (os error 111)"
        );
        let bare = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(of(Language::Chinese).error(&bare), "超时");
        let other = io::Error::other("something of its own");
        assert_eq!(of(Language::Chinese).error(&other), "something of its own");
    }

    #[test]
    fn errors_of_ours_are_told_in_both() {
        let error = told(io::ErrorKind::UnexpectedEof, "upper-cut", &[]);
        assert_eq!(
            error.to_string(),
            "the server closed before its answer was complete"
        );
        assert_eq!(of(Language::English).error(&error), error.to_string());
        assert_eq!(
            of(Language::Chinese).error(&error),
            "服务端在回答完整之前关闭了连接"
        );
    }

    #[test]
    fn values_stand_as_they_are() {
        let words = Words::new(Language::English, &["x = <{ $a }|{ $b }>\n"]);
        let text = words.text("x", &[("a", "007\u{5d0}".value()), ("b", 65_507_usize.value())]);
        assert_eq!(text, "<007\u{5d0}|65507>");
        assert_eq!(words.text("no-such-key", &[]), "no-such-key");
    }
}
