//! `sockeye lab run`, as the command calls it.

use clap::Parser;
use sockeye_cli::args::{Args, Command, LabCommand, RunArgs};
use sockeye_cli::exit::Code;
use sockeye_cli::lab::scenario::{play, scenario};
use sockeye_lab::scenarios::{self, Scenario, Stage};

fn args(words: &str) -> RunArgs {
    let all = ["sockeye", "lab", "run"]
        .into_iter()
        .chain(words.split_whitespace());
    match Args::try_parse_from(all).unwrap().command {
        Command::Lab {
            command: LabCommand::Run(args),
        } => args,
        other => panic!("{other:?}"),
    }
}
fn run(words: &str) -> (String, Code) {
    let mut page = Vec::new();
    let code = scenario(&args(words), &mut page).unwrap();
    (String::from_utf8(page).unwrap(), code)
}

#[test]
fn every_scenario_can_be_shown_in_every_way() {
    for scenario in scenarios::ALL {
        for words in [
            "",
            "--detail full --notation classroom",
            "--ascii --width 80 --detail brief",
            "--color always",
        ] {
            let (page, code) = run(&format!("{} {words}", scenario.name));
            assert_eq!(code, Code::Well, "{page}");
            assert!(page.contains("claims held"), "{page}");
        }
    }
}

#[test]
fn the_same_seed_shows_the_same_bytes_and_another_shows_others() {
    assert_eq!(run("all --seed 5"), run("all --seed 5"));
    assert_ne!(run("all --seed 5"), run("all --seed 6"));
}

#[test]
fn a_claim_that_does_not_hold_is_told_and_counts() {
    fn wrong(stage: &mut Stage<'_>) {
        let (mut scene, host) = stage.scene("A host and nobody", |world| {
            let (host, nobody) = (world.host("host").ip("10.0.0.1/24").id(), world.raw("nobody"));
            world.link(host, nobody);
            host
        });
        scene.equal("two and two", 2 + 2, 4);
        scene.correct("W-00", "it rains", "the sun shines", false, "clouds");
        let listener = scene.listen(host, "10.0.0.1:80", 5);
        scene.until("somebody comes", sockeye_lab::secs(1), |scene| {
            scene.accept(host, listener).is_some()
        });
    }
    let wrong = Scenario::new("wrong", "claims that cannot hold", wrong);
    let mut page = Vec::new();
    let code = play(&[&wrong], &args("all"), &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert_eq!(code, Code::NotHeld);
    for part in [
        "✓ two and two",
        "✗ right is: the sun shines · clouds",
        "did not hold: wrong: the sun shines",
        "1 of 3 claims held",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn each_network_has_its_capture_and_all_share_the_events() {
    let dir = std::env::temp_dir().join(format!("sockeye-scenario-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (pcap, events) = (dir.join("run.pcapng"), dir.join("run.jsonl"));
    let (_, code) = run(&format!(
        "refused --quiet --pcap {} --events {}",
        pcap.display(),
        events.display()
    ));
    assert_eq!(code, Code::Well);
    for file in ["run.pcapng", "run-2.pcapng"] {
        assert!(std::fs::metadata(dir.join(file)).unwrap().len() > 100, "{file}");
    }
    let lines = std::fs::read_to_string(&events).unwrap();
    // Time starts anew with each network.
    let times = lines.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["at_ns"].as_u64().unwrap()
    });
    let times: Vec<u64> = times.collect();
    assert!(times.windows(2).filter(|pair| pair[1] < pair[0]).count() >= 1);
    std::fs::remove_dir_all(&dir).unwrap();
}
