//! The command in English and in Chinese.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sockeye_apps::words::Language;
use sockeye_cli::words;
use sockeye_testing::texts;

#[test]
fn every_text_in_every_language() {
    let [english, chinese] = Language::ALL.map(|language| texts::parse(words::source(language)));
    assert!(english.len() > 30);
    texts::same(&english, &chinese, &[]);
    texts::used(&english, &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // The programs' texts come first: one of the same name here would never be heard.
    let programs = texts::parse(sockeye_apps::words::source(Language::English));
    let twice: Vec<_> = english.keys().filter(|key| programs.contains_key(*key)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// What is said on standard error.
fn said(arguments: &str, locale: &[(&str, &str)], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.args(arguments.split_whitespace());
    for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
        command.env_remove(name);
    }
    command.envs(locale.iter().copied());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    // One that fails at once may be gone before it could read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_flag_and_the_environment_choose() {
    // Nobody listens: the port was free a moment ago, and is not handed out again so soon.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let command = format!("upper connect {address}");
    let english = format!(
        "sockeye: cannot connect to {address}: Connection refused (os error 111); nobody listens there: \
         start the server first\n"
    );
    let chinese = format!(
        "sockeye: 无法连接 {address}：连接被拒绝 (os error 111)；那里没有程序在监听：请先运行服务端\n"
    );
    let zh = [("LANG", "zh_CN.UTF-8")];
    assert_eq!(said(&command, &[], ""), english);
    assert_eq!(said(&command, &zh, ""), chinese);
    assert_eq!(said(&command, &[("LANG", "fr_FR.UTF-8")], ""), english);
    let over = [("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")];
    assert_eq!(said(&command, &over, ""), english);
    assert_eq!(said(&format!("{command} --lang zh"), &[], ""), chinese);
    assert_eq!(said(&format!("--lang=en {command}"), &zh, ""), english);
}

/// What is wrong with the command line is said in the language that it asks for.
#[test]
fn wrong_values_in_both() {
    let port = said("upper connect 127.0.0.1:88888", &[], "");
    assert!(
        port.contains("there is no port 88888: ports go from 0 to 65535"),
        "{port}"
    );
    let port = said("upper connect 127.0.0.1:88888 --lang zh", &[], "");
    assert!(port.contains("没有端口 88888：端口是 0 到 65535"), "{port}");
    let lang = said("--lang klingon lab list", &[], "");
    assert!(lang.contains("[possible values: en, zh]"), "{lang}");
}
