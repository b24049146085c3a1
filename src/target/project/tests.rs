//! What a directory with an azd project in it comes to.

use super::*;
use cupola_protocol::target::{AbsolutePath, ServiceName};
use std::fs;
use tempfile::TempDir;

fn resolve_now(target: &DirectoryTarget) -> Result<Resolved, ProjectError> {
    resolve_as(target, User::current())
}

const ENDPOINT: &str = "https://acct.services.ai.azure.com/api/projects/shop";
const OTHER: &str = "https://other.services.ai.azure.com/api/projects/x";

const ONE: &str =
    "name: shop\nservices:\n  web: {host: containerapp}\n  my-agent:\n    host: azure.ai.agent\n    config: {x: [1]}\n";
const TWO: &str = "services:\n  b-agent: {host: azure.ai.agent}\n  a agent: {host: azure.ai.agent}\n";

/// A project with these files.
fn project(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn deployed() -> TempDir {
    let env = format!(
        "FOUNDRY_PROJECT_ENDPOINT=\"{ENDPOINT}\"\nAGENT_MY_AGENT_NAME=\"shop-agent\"\nAGENT_MY_AGENT_VERSION=\"7\"\n"
    );
    project(&[
        ("azure.yaml", ONE),
        (".azure/config.json", r#"{"version":1,"defaultEnvironment":"dev"}"#),
        (".azure/dev/.env", &env),
    ])
}

fn path(directory: &Path) -> AbsolutePath {
    directory.to_str().unwrap().parse().unwrap()
}

fn target(directory: &TempDir) -> DirectoryTarget {
    DirectoryTarget::new(path(directory.path()))
}

fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

#[test]
fn the_only_agent_is_found_from_any_directory_below() {
    let project = deployed();
    let below = project.path().join("src/agent/deep");
    fs::create_dir_all(&below).unwrap();
    for start in [project.path(), &below, &project.path().join("not/there")] {
        let resolved = resolve_now(&DirectoryTarget::new(path(start))).unwrap();
        assert_eq!(resolved.target(), Target::project(ENDPOINT, "shop-agent", None).unwrap());
        assert_eq!(resolved.deployed.unwrap().as_str(), "7");
    }
}

#[test]
fn an_agent_is_named_by_its_service_or_by_its_own_name_or_is_one_the_project_does_not_deploy() {
    let project = deployed();
    for (wanted, agent, deployed) in [
        ("my-agent", "shop-agent", Some("7")),
        ("shop-agent", "shop-agent", Some("7")),
        ("elsewhere", "elsewhere", None),
    ] {
        let resolved = resolve_now(&DirectoryTarget { agent: Some(service(wanted)), ..target(&project) }).unwrap();
        assert_eq!((resolved.agent.as_str(), resolved.deployed.as_ref().map(AgentVersion::as_str)), (agent, deployed));
    }
    let refused = resolve_now(&DirectoryTarget { agent: Some(service("no agent")), ..target(&project) }).unwrap_err();
    assert!(refused.to_string().contains("no agent called \"no agent\""), "{refused}");
}

#[test]
fn several_agents_are_listed() {
    let several = project(&[("azure.yml", TWO)]);
    let refused = resolve_now(&target(&several)).unwrap_err();
    assert!(
        matches!(&refused, ProjectError::Several { services, .. } if services == &["a agent", "b-agent"]),
        "{refused}"
    );
    let env = format!("AZURE_AI_PROJECT_ENDPOINT={ENDPOINT}\nAGENT_A_AGENT_NAME=first\n");
    fs::create_dir_all(several.path().join(".azure/dev")).unwrap();
    fs::write(several.path().join(".azure/dev/.env"), env).unwrap();
    let chosen = DirectoryTarget {
        agent: Some(service("a agent")),
        environment: Some("dev".parse().unwrap()),
        version: Some("2".parse().unwrap()),
        ..target(&several)
    };
    assert_eq!(resolve_now(&chosen).unwrap().target(), Target::project(ENDPOINT, "first", Some("2")).unwrap());
}

#[test]
fn the_agents_own_endpoint_says_all_three() {
    let env = format!("AGENT_MY_AGENT_ENDPOINT={ENDPOINT}/agents/shop-agent/versions/4\n");
    let project = project(&[
        ("azure.yaml", ONE),
        (".azure/config.json", r#"{"defaultEnvironment":"dev"}"#),
        (".azure/dev/.env", &env),
    ]);
    let resolved = resolve_now(&target(&project)).unwrap();
    assert_eq!(resolved.target(), Target::project(ENDPOINT, "shop-agent", None).unwrap());
    assert_eq!(resolved.deployed.unwrap().as_str(), "4");
}

#[test]
fn the_endpoint_comes_from_the_first_level_that_names_one() {
    let level = |number: &str| format!("https://l{number}.services.ai.azure.com/api/projects/p");
    let config = format!(r#"{{"extensions":{{"ai-agents":{{"context":{{"endpoint":"{}"}}}}}}}}"#, level("3"));
    let bare = project(&[("azure.yaml", ONE), ("azd/config.json", &config)]);
    let everything = |directory: &TempDir| DirectoryTarget {
        agent: Some(service("a")),
        endpoint: Some(level("1").parse().unwrap()),
        azd_config_directory: Some(path(&directory.path().join("azd"))),
        fallback_endpoint: Some(level("4").parse().unwrap()),
        ..target(directory)
    };
    let found = |target: &DirectoryTarget| resolve_now(target).unwrap().endpoint.to_string();
    assert_eq!(found(&everything(&bare)), level("1"));
    fs::create_dir_all(bare.path().join(".azure/dev")).unwrap();
    fs::write(bare.path().join(".azure/dev/.env"), format!("FOUNDRY_PROJECT_ENDPOINT={}", level("2"))).unwrap();
    let dev = Some("dev".parse().unwrap());
    assert_eq!(found(&DirectoryTarget { endpoint: None, environment: dev, ..everything(&bare) }), level("2"));
    assert_eq!(found(&DirectoryTarget { endpoint: None, ..everything(&bare) }), level("3"));
    let last = DirectoryTarget { endpoint: None, azd_config_directory: None, ..everything(&bare) };
    assert_eq!(found(&last), level("4"));
    let refused = resolve_now(&DirectoryTarget { fallback_endpoint: None, ..last }).unwrap_err();
    assert!(matches!(refused, ProjectError::NoEndpoint { environment: None }), "{refused}");
}

#[test]
fn a_definition_in_the_file_itself_names_the_agent_and_its_project_until_azd_has_deployed_it() {
    let unified = format!(
        "services:\n  ai-project:\n    host: azure.ai.project\n    endpoint: {ENDPOINT}\n    deployments: [{{name: m}}]\n  \
         cache: {{host: containerapp, name: [1], endpoint: {{a: b}}, config: 3, agents: yes}}\n  my-agent:\n    \
         host: azure.ai.agent\n    uses: [ai-project]\n    kind: hosted\n    name: inline-agent\n    \
         protocols: [{{protocol: responses, version: 2.0.0}}]\n"
    );
    let foundry = format!(
        "services:\n  all:\n    host: microsoft.foundry\n    endpoint: {ENDPOINT}\n    agents:\n      - kind: hosted\n        \
         name: inline-agent\n      - $ref: ./other.yaml\n"
    );
    let nested = format!(
        "services:\n  p: {{host: azure.ai.project, endpoint: \"{ENDPOINT}\"}}\n  \
         my-agent: {{host: azure.ai.agent, config: {{kind: hosted, name: inline-agent}}}}\n"
    );
    for text in [&unified, &foundry, &nested] {
        let project = project(&[("azure.yaml", text)]);
        let resolved = resolve_now(&target(&project)).unwrap();
        assert_eq!(resolved.target(), Target::project(ENDPOINT, "inline-agent", None).unwrap(), "{text}");
    }
    let by_service = project(&[("azure.yaml", &unified)]);
    let named = DirectoryTarget { agent: Some(service("my-agent")), ..target(&by_service) };
    assert_eq!(resolve_now(&named).unwrap().agent.as_str(), "inline-agent");

    // What azd deployed is where it deployed it to; what it fills in says nothing before.
    let env = format!("FOUNDRY_PROJECT_ENDPOINT={OTHER}\nAGENT_MY_AGENT_NAME=deployed-agent\n");
    let deployed = |yaml: &str, env: &str| {
        let config = (".azure/config.json", r#"{"defaultEnvironment":"dev"}"#);
        project(&[("azure.yaml", yaml), config, (".azure/dev/.env", env)])
    };
    let resolved = resolve_now(&target(&deployed(&unified, &env))).unwrap();
    assert_eq!(resolved.target(), Target::project(OTHER, "deployed-agent", None).unwrap());
    let variable = unified.replace("inline-agent", "${AGENT_NAME}");
    let refused = resolve_now(&target(&deployed(&variable, ""))).unwrap_err();
    assert!(matches!(refused, ProjectError::NotDeployed { .. }), "{refused}");

    for (from, to, expected) in [
        ("inline-agent", "not/a/name", "the name of my-agent must be"),
        (ENDPOINT, "http://evil.example/", "the project's endpoint must look like"),
    ] {
        let wrong = project(&[("azure.yaml", &unified.replace(from, to))]);
        let refused = resolve_now(&target(&wrong)).unwrap_err().to_string();
        assert!(refused.contains(expected) && refused.contains("azure.yaml"), "{expected}: {refused}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let nothing = project(&[]);
    assert!(matches!(resolve_now(&target(&nothing)), Err(ProjectError::NoProject(_))));
    let no_agents = project(&[("azure.yaml", "name: x\n")]);
    assert!(matches!(resolve_now(&target(&no_agents)), Err(ProjectError::NoAgents(_))));
    let undeployed = project(&[
        ("azure.yaml", ONE),
        (".azure/config.json", r#"{"defaultEnvironment":"dev"}"#),
        (".azure/dev/.env", ""),
    ]);
    let refused = resolve_now(&target(&undeployed)).unwrap_err().to_string();
    assert!(refused.contains("AGENT_MY_AGENT_NAME") && refused.contains(".env"), "{refused}");
    let gone = DirectoryTarget { environment: Some("prod".parse().unwrap()), ..target(&undeployed) };
    let refused = resolve_now(&gone).unwrap_err().to_string();
    assert!(refused.contains("environment prod does not exist"), "{refused}");
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line() {
    let default = r#"{"defaultEnvironment":"dev"}"#;
    let deep = format!("services:\n  a: {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    let bomb = format!(
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [{a}]\nc: &c [{b}]\nd: &d [{c}]\ne: &e [{d}]\nf: &f [{e}]\ng: [{f}]\nservices: {{}}\n",
        a = ["*a"; 9].join(","),
        b = ["*b"; 9].join(","),
        c = ["*c"; 9].join(","),
        d = ["*d"; 9].join(","),
        e = ["*e"; 9].join(","),
        f = ["*f"; 9].join(","),
    );
    let huge = "x".repeat(usize::try_from(read::MAX_FILE_BYTES).unwrap() + 1);
    for (files, expected) in [
        (vec![("azure.yaml", "services:\n  a: [\n")], "azure.yaml:"),
        (vec![("azure.yaml", "services:\n  a: {host: [1]}\n")], "azure.yaml:2:"),
        (vec![("azure.yaml", deep.as_str())], "azure.yaml"),
        (vec![("azure.yaml", huge.as_str())], "azure.yaml is larger"),
        (vec![("azure.yaml", ONE), (".azure/config.json", "{\n\"a\":")], "config.json:2: "),
        (
            vec![("azure.yaml", ONE), (".azure/config.json", r#"{"defaultEnvironment":"../x"}"#)],
            "config.json: defaultEnvironment",
        ),
        (vec![("azure.yaml", ONE), (".azure/config.json", default), (".azure/dev/.env", "A=1\nbad\n")], ".env:2: "),
        (
            vec![
                ("azure.yaml", ONE),
                (".azure/config.json", default),
                (".azure/dev/.env", "AGENT_MY_AGENT_NAME=a/b\n"),
            ],
            ".env:1: AGENT_MY_AGENT_NAME must be",
        ),
        (
            vec![
                ("azure.yaml", ONE),
                (".azure/config.json", default),
                (".azure/dev/.env", "AGENT_MY_AGENT_NAME=a\nFOUNDRY_PROJECT_ENDPOINT=http://evil/\n"),
            ],
            ".env:2: FOUNDRY_PROJECT_ENDPOINT must look like",
        ),
    ] {
        let project = project(&files);
        let fallback = DirectoryTarget { fallback_endpoint: Some(OTHER.parse().unwrap()), ..target(&project) };
        let refused = resolve_now(&fallback).unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    // Whether anchors that multiply are refused or skipped, they cost no time.
    let bomb = project(&[("azure.yaml", &bomb)]);
    assert!(resolve_now(&target(&bomb)).is_err());
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_opened() {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("azure.yaml")).unwrap();
    assert!(matches!(resolve_now(&target(&project)), Err(ProjectError::Unusable(Unusable::Unreadable { .. }))));
}

/// Files of another user: as root they are given to one, and otherwise everything else is read as one.
#[cfg(unix)]
#[test]
fn files_of_another_user_end_the_search_for_the_project_and_for_what_is_in_it() {
    use std::os::unix::fs::chown;
    const STRANGER: u32 = 54_321;
    let me = User::current();
    for culprit in
        ["below/azure.yaml", "below", "below/.azure/config.json", "below/.azure/dev", "below/.azure/dev/.env"]
    {
        let env = format!("FOUNDRY_PROJECT_ENDPOINT={OTHER}\nAGENT_MY_AGENT_NAME=theirs\n");
        let above = format!("FOUNDRY_PROJECT_ENDPOINT={ENDPOINT}\nAGENT_MY_AGENT_NAME=mine\n");
        let config = r#"{"defaultEnvironment":"dev"}"#;
        let project = project(&[
            ("azure.yaml", ONE),
            (".azure/config.json", config),
            (".azure/dev/.env", &above),
            ("below/azure.yaml", ONE),
            ("below/.azure/config.json", config),
            ("below/.azure/dev/.env", &env),
            ("below/src/main.py", ""),
        ]);
        let inside = DirectoryTarget::new(path(&project.path().join("below/src")));
        assert_eq!(resolve_as(&inside, me).unwrap().agent.as_str(), "theirs");
        let refused = if me.id() == 0 {
            chown(project.path().join(culprit), Some(STRANGER), None).unwrap();
            resolve_as(&inside, me)
        } else {
            resolve_as(&inside, User::with_id(STRANGER))
        };
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("below") && refused.contains("belongs to user"), "{culprit}: {refused}");
        assert!(me.id() != 0 || refused.contains(&format!("{culprit} belongs to user {STRANGER}")), "{refused}");
    }
}

#[cfg(unix)]
#[test]
fn azds_own_file_of_another_user_does_not_name_the_endpoint() {
    let config = format!(r#"{{"extensions":{{"ai-agents":{{"context":{{"endpoint":"{ENDPOINT}"}}}}}}}}"#);
    let place = project(&[("azd/config.json", &config)]);
    let target = DirectoryTarget {
        agent: Some(service("a")),
        azd_config_directory: Some(path(&place.path().join("azd"))),
        fallback_endpoint: Some(OTHER.parse().unwrap()),
        ..target(&place)
    };
    let me = User::current();
    assert_eq!(resolve_as(&target, me).unwrap().endpoint.as_str(), ENDPOINT);
    let refused = if me.id() == 0 {
        std::os::unix::fs::chown(place.path().join("azd/config.json"), Some(54_321), None).unwrap();
        resolve_as(&target, me)
    } else {
        resolve_as(&target, User::with_id(54_321))
    };
    assert!(matches!(refused, Err(ProjectError::Unusable(Unusable::NotOwned { .. }))), "{refused:?}");
}

#[cfg(unix)]
#[test]
fn a_project_file_that_is_a_link_to_nowhere_is_not_passed_by() {
    let project = deployed();
    let below = project.path().join("below");
    fs::create_dir(&below).unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", below.join("azure.yaml")).unwrap();
    let refused = resolve_now(&DirectoryTarget::new(path(&below))).unwrap_err().to_string();
    assert!(refused.contains("below/azure.yaml") && refused.contains("a link that leads nowhere"), "{refused}");
}

#[test]
fn what_an_agent_speaks_is_found_in_the_files_of_each_layout() {
    let unified = "services:\n  a:\n    host: azure.ai.agent\n    name: shop\n    protocols:\n      - protocol: invocations\n        version: 1.0.0\n";
    let beside = "services:\n  a:\n    host: azure.ai.agent\n    project: src/a\n    config: {name: shop}\n";
    let referred = "services:\n  a:\n    host: azure.ai.agent\n    config:\n      $ref: ./agents/a.yaml\n";
    let listed = "services:\n  p:\n    host: microsoft.foundry\n    agents:\n      - $ref: agents/a.yaml\n";
    let definition = "name: shop\nprotocols:\n  - protocol: invocations\n    version: 2.0.0\n  - 7\n";
    let files =
        |file: &'static str| [("azure.yaml", file), ("src/a/agent.yaml", definition), ("agents/a.yaml", definition)];
    for file in [unified, beside, referred, listed] {
        let project = project(&files(file));
        let mut target = target(&project);
        target.endpoint = Some(ENDPOINT.parse().unwrap());
        let resolved = resolve_now(&target).unwrap();
        assert_eq!(
            (resolved.agent.as_str(), resolved.protocols.as_slice()),
            ("shop", &["invocations".to_owned()][..]),
            "{file}"
        );
    }
    // What lies outside the project is not read.
    let outside = project(&[
        ("project/azure.yaml", "services:\n  a:\n    host: azure.ai.agent\n    config: {$ref: ../a.yaml}\n"),
        ("a.yaml", definition),
    ]);
    let mut target = DirectoryTarget::new(path(&outside.path().join("project")));
    target.endpoint = Some(ENDPOINT.parse().unwrap());
    assert!(resolve_now(&target).is_err());
}

#[test]
fn files_with_a_byte_order_mark_are_read() {
    let config = format!(r#"{{"extensions": {{"ai-agents": {{"context": {{"endpoint": "{ENDPOINT}"}}}}}}}}"#);
    let marked = |text: &str| format!("\u{feff}{text}");
    let default = marked(r#"{"version":1,"defaultEnvironment":"dev"}"#);
    let env = marked("AGENT_MY_AGENT_NAME=\"shop-agent\"\nCERTIFICATE=\"one\ntwo\"\n");
    let project = project(&[
        ("azure.yaml", &marked(ONE)),
        (".azure/config.json", &default),
        (".azure/dev/.env", &env),
        ("azd/config.json", &marked(&config)),
    ]);
    let mut target = target(&project);
    target.azd_config_directory = Some(path(&project.path().join("azd")));
    assert_eq!(resolve_now(&target).unwrap().target(), Target::project(ENDPOINT, "shop-agent", None).unwrap());
}
