//! Documentation and service file, held against the command.

use std::path::Path;

use clap::CommandFactory;

fn document(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

#[test]
fn every_exit_code_is_explained_in_the_help_and_in_the_documentation() {
    let (operations, source) = (document("docs/operations.md"), document("src/cli/src/failure.rs"));
    let (_, table) = operations.split_once("\n## Exit codes\n").unwrap();
    let codes = |text: &str, begin: &str| {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix(begin)?.split(' ').next()?.parse::<u8>().ok());
        lines.collect::<Vec<_>>()
    };
    let documented = codes(table, "| ");
    assert_eq!(documented, (0..=10).collect::<Vec<_>>());
    assert_eq!(codes(&source, "//! | "), documented);
    let help = crate::args::Cli::command().render_help().to_string();
    let (_, help) = help.split_once("Exit codes:").unwrap();
    for code in documented {
        assert!(help.contains(&format!("  {code} ")), "{code}");
    }
}

#[test]
fn the_policy_of_a_writer_names_what_is_needed_and_cannot_delete() {
    let operations = document("docs/operations.md");
    let policies = operations.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policies = policies.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let actions = policies.flat_map(|policy| {
        let statements = policy["Statement"].as_array().unwrap().clone();
        statements.into_iter().flat_map(|statement| match &statement["Action"] {
            serde_json::Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        })
    });
    let mut actions = actions.map(|action| action.as_str().unwrap().to_string()).collect::<Vec<_>>();
    actions.sort();
    assert_eq!(actions, ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]);
}

#[test]
fn the_service_stays_down_when_starting_again_would_not_help() {
    let service = document("contrib/walkeep.service");
    for line in
        ["Restart=on-failure", "RestartPreventExitStatus=2 5", "ProtectSystem=strict", "ReadWritePaths=/srv"]
    {
        assert!(service.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn what_the_service_and_the_container_start_is_understood() {
    let service = document("contrib/walkeep.service");
    let started = service
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart=").or(line.strip_prefix("ExecReload=")));
    let ours = started.filter(|line| line.starts_with("/usr/local/bin/walkeep")).collect::<Vec<_>>();
    assert_eq!(ours.len(), 2, "{ours:?}");
    let container = document("contrib/Containerfile");
    let cmd = container.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let cmd = serde_json::from_str::<Vec<String>>(cmd).unwrap();
    for line in ours.into_iter().map(ToString::to_string).chain([format!("walkeep {}", cmd.join(" "))]) {
        let parsed = crate::args::Cli::command().try_get_matches_from(line.split(' '));
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}
