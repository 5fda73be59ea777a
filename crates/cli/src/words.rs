//! What the command says, in the person's language: that of `--lang`, or of the environment.

use std::ffi::OsStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use sockeye_apps::words::{Language, Words};

/// A text of the command in the person's language: `t!("console-listening", at = address)`.
#[macro_export]
macro_rules! t {
    ($key:literal $(, $name:ident = $value:expr)* $(,)?) => {
        sockeye_apps::text!($crate::words::current(), $key $(, $name = $value)*)
    };
}

/// The languages of `--lang`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Language {
        match lang {
            Lang::En => Language::English,
            Lang::Zh => Language::Chinese,
        }
    }
}

/// The texts of this crate in a language, in Fluent's syntax.
pub fn source(language: Language) -> &'static str {
    match language {
        Language::English => include_str!("../words/en.ftl"),
        Language::Chinese => include_str!("../words/zh.ftl"),
    }
}

/// The texts of this crate and of the programs in a language.
pub fn of(language: Language) -> &'static Words {
    static ALL: LazyLock<[Words; 2]> =
        LazyLock::new(|| Language::ALL.map(|language| Words::new(language, &[source(language)])));
    let [english, chinese] = &*ALL;
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

/// Which of [`Language::ALL`] is spoken: the whole process speaks one.
static SPOKEN: AtomicUsize = AtomicUsize::new(0);

/// Speaks a language from now on.
pub fn speak(language: Language) {
    let index = Language::ALL.iter().position(|one| *one == language);
    SPOKEN.store(index.unwrap_or(0), Ordering::Relaxed);
}

/// The texts in the language that is spoken.
pub fn current() -> &'static Words {
    of(Language::ALL[SPOKEN.load(Ordering::Relaxed)])
}

/// The language to speak while the command line is read, so that what is wrong with it can be said: that of `--lang`, as
/// far as it can be made out, or of the environment.
pub fn wanted(arguments: &[impl AsRef<OsStr>]) -> Language {
    let words = arguments
        .iter()
        .filter_map(|word| word.as_ref().to_str())
        .take_while(|word| *word != "--");
    let words: Vec<&str> = words.collect();
    let named = words.iter().enumerate().filter_map(|(at, word)| match *word {
        "--lang" => words.get(at + 1).copied(),
        word => word.strip_prefix("--lang="),
    });
    let known = named.filter_map(|name| Lang::from_str(name, true).ok());
    match known.fold(None, |_, lang| Some(lang)) {
        Some(lang) => lang.into(),
        None => Language::of_environment(|name| std::env::var(name).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_which() {
        for (line, language) in [
            ("sockeye --lang zh upper serve 1", Language::Chinese),
            ("sockeye upper serve 1 --lang=zh", Language::Chinese),
            ("sockeye --lang zh --lang en", Language::English),
            ("sockeye --lang=en -- --lang=zh", Language::English),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(wanted(&words), language, "{line}");
        }
    }
}
