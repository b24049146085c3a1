//! The files of `deploy/`: what stands in several of them is the same in all, and the configuration there is one that the program takes.
//! `tests/deploy/check.py` holds the manifests against Kubernetes's own schemas.

use crate::support::{Home, finish, skip};
use cupola::config::{Config, Flags, StoreConfig};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

const CONTAINER_FILE: &str = include_str!("../../deploy/Containerfile");
const GATEWAY: &str = include_str!("../../deploy/kubernetes/gateway.yaml");
const VALKEY: &str = include_str!("../../deploy/kubernetes/valkey.yaml");
const NETWORK: &str = include_str!("../../deploy/kubernetes/network.yaml");
const NAMESPACE: &str = include_str!("../../deploy/kubernetes/namespace.yaml");
const KUSTOMIZATION: &str = include_str!("../../deploy/kubernetes/kustomization.yaml");
const GATEWAY_SETTINGS: &str = include_str!("../../deploy/kubernetes/gateway.toml");
const VALKEY_SETTINGS: &str = include_str!("../../deploy/kubernetes/valkey.conf");
const UNIT: &str = include_str!("../../deploy/systemd/cupola-gateway.service");
const UNIT_SETTINGS: &str = include_str!("../../deploy/systemd/gateway.toml");
const PAGE: &str = include_str!("../../docs/scale.md");
const WORKSPACE: &str = include_str!("../../Cargo.toml");

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The document of a kind and a name.
fn document(text: &str, kind: &str, name: &str) -> Value {
    let is_it = |document: &Value| document["kind"] == kind && document["metadata"]["name"] == name;
    documents(text).into_iter().find(is_it).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// The directories of a pod's only container by the names of their volumes, and the volumes by name.
fn volumes(pod: &Value) -> (BTreeMap<String, String>, BTreeMap<String, Value>) {
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap().iter();
    let mounts = mounts.map(|mount| (text(&mount["name"]).to_owned(), text(&mount["mountPath"]).to_owned()));
    let volumes = pod["volumes"].as_array().unwrap().iter();
    (mounts.collect(), volumes.map(|volume| (text(&volume["name"]).to_owned(), volume.clone())).collect())
}

/// Every string in a document of TOML.
fn strings(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(list) => list.iter().flat_map(strings).collect(),
        toml::Value::Table(table) => table.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// The files in a directory that a text names.
fn named_below<'text>(words: impl Iterator<Item = &'text str>, directory: &str) -> BTreeSet<String> {
    let below = format!("{directory}/");
    words.filter_map(|word| word.strip_prefix(&below)).map(ToOwned::to_owned).collect()
}

/// What the page says a secret is made of.
fn keys_of_secret(name: &str) -> BTreeSet<String> {
    let command = format!("create secret generic {name} ");
    let line =
        PAGE.lines().find(|line| line.contains(&command)).unwrap_or_else(|| panic!("no {command} in docs/scale.md"));
    line.split("--from-file=").skip(1).map(|file| file.split(['=', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_gateways_port_is_the_same_everywhere() {
    let settings: toml::Value = toml::from_str(GATEWAY_SETTINGS).unwrap();
    let listen = settings["gateway"]["listen"].as_str().unwrap();
    let (address, port) = listen.rsplit_once(':').unwrap();
    assert_eq!(address, "0.0.0.0", "a pod is reached by its own address");
    let port: u64 = port.parse().unwrap();
    assert!(CONTAINER_FILE.lines().any(|line| line == format!("EXPOSE {port}")));
    let deployment = document(GATEWAY, "Deployment", "cupola-gateway");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], port);
    let name = &container["ports"][0]["name"];
    for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["port"], &get["path"], text(&get["scheme"])), (name, &Value::from(path), "HTTPS"), "{probe}");
    }
    assert_eq!(&document(GATEWAY, "Service", "cupola-gateway")["spec"]["ports"][0]["targetPort"], name);
    assert_eq!(document(NETWORK, "NetworkPolicy", "cupola-gateway")["spec"]["ingress"][0]["ports"][0]["port"], port);
}

#[test]
fn the_container_starts_the_gateway_as_the_user_that_the_pod_names() {
    let deployment = document(GATEWAY, "Deployment", "cupola-gateway");
    let pod = &deployment["spec"]["template"]["spec"];
    let arguments: Vec<_> = pod["containers"][0]["args"].as_array().unwrap().iter().map(text).collect();
    let command = CONTAINER_FILE.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(command).unwrap(), arguments);
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
    assert!(CONTAINER_FILE.lines().any(|line| line == format!("USER {user}:{user}")));
    assert!(user > 0 && pod["securityContext"]["runAsNonRoot"] == true);
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(deployment["spec"]["replicas"], 3);
    // The file that is given is the file that is mounted.
    let (mounts, volumes) = volumes(pod);
    let map = text(&volumes["config"]["configMap"]["name"]);
    let kustomization = &documents(KUSTOMIZATION)[0];
    let maps = kustomization["configMapGenerator"].as_array().unwrap();
    let file = text(&maps.iter().find(|generated| generated["name"] == map).unwrap()["files"][0]);
    let given = format!("{}/{file}", mounts["config"]);
    assert!(CONTAINER_FILE.lines().any(|line| line == format!("ENV CUPOLA_CONFIG={given}")));
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["name"] == "CUPOLA_CONFIG" && variable["value"] == given));
    // The compiler is one that the sources can be built with.
    let version = WORKSPACE.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(CONTAINER_FILE.contains(&format!("rust:{version}-bookworm AS build")), "rust-version is {version}");
    // What is linked with one Debian's libraries runs with the same.
    assert!(CONTAINER_FILE.contains("distroless/cc-debian12:nonroot"));
    let home = CONTAINER_FILE.lines().find_map(|line| line.strip_prefix("ENV HOME=")).unwrap();
    assert_eq!(home, mounts["state"]);
}

#[test]
fn every_secret_that_a_setting_names_is_mounted_and_made_as_the_page_says() {
    let deployment = document(GATEWAY, "Deployment", "cupola-gateway");
    let (mounts, volumes) = volumes(&deployment["spec"]["template"]["spec"]);
    let settings: toml::Value = toml::from_str(GATEWAY_SETTINGS).unwrap();
    let named = strings(&settings);
    let named = named_below(named.iter().map(String::as_str), &mounts["secrets"]);
    assert_eq!(named, keys_of_secret(text(&volumes["secrets"]["secret"]["secretName"])));
    let state = settings["state_dir"].as_str().unwrap();
    // A directory below the volume: Cupola makes one that is private, which the volume itself is not.
    assert!(state.starts_with(&format!("{}/", mounts["state"])), "{state}");

    let store = document(VALKEY, "StatefulSet", "valkey");
    let (mounts, volumes) = self::volumes(&store["spec"]["template"]["spec"]);
    let named = named_below(VALKEY_SETTINGS.split_whitespace(), &mounts["secrets"]);
    assert_eq!(named, keys_of_secret(text(&volumes["secrets"]["secret"]["secretName"])));
    let command = &store["spec"]["template"]["spec"]["containers"][0]["command"];
    assert_eq!(text(&command[1]), format!("{}/valkey.conf", mounts["config"]));
    assert!(VALKEY_SETTINGS.lines().any(|line| line == format!("dir {}", mounts["data"])));
    assert_eq!(store["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "data");
}

#[test]
fn the_store_is_where_the_gateway_looks_for_it_and_keeps_what_it_is_given() {
    let settings: toml::Value = toml::from_str(GATEWAY_SETTINGS).unwrap();
    let url = url::Url::parse(settings["store"]["url"].as_str().unwrap()).unwrap();
    let service = document(VALKEY, "Service", "valkey");
    let namespace = documents(NAMESPACE)[0]["metadata"]["name"].clone();
    assert_eq!(documents(KUSTOMIZATION)[0]["namespace"], namespace);
    assert_eq!(url.host_str().unwrap(), format!("{}.{}.svc", text(&service["metadata"]["name"]), text(&namespace)));
    let port = u64::from(url.port().unwrap());
    assert_eq!((url.scheme(), service["spec"]["ports"][0]["port"].as_u64()), ("rediss", Some(port)));
    let store = document(VALKEY, "StatefulSet", "valkey");
    assert_eq!(store["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"], port);
    for (policy, direction) in [("cupola-gateway", "egress"), ("valkey", "ingress")] {
        assert_eq!(
            document(NETWORK, "NetworkPolicy", policy)["spec"][direction][0]["ports"][0]["port"],
            port,
            "{policy}"
        );
    }
    for line in
        [&*format!("tls-port {port}"), "port 0", "appendonly yes", "appendfsync always", "maxmemory-policy noeviction"]
    {
        assert!(VALKEY_SETTINGS.lines().any(|found| found == line), "{line}");
    }
    // The page gives the store's user its rights twice: in words, and in the file.
    let rights = |before: &str| PAGE.split_once(before).unwrap().1.split(['`', '"']).next().unwrap().trim().to_owned();
    let user = settings["store"]["username"].as_str().unwrap();
    assert_eq!(rights(&format!("user {user} on #$DIGEST ~cupola:* ")), rights("the commands\n`"));
}

#[test]
fn the_collector_is_in_a_namespace_that_the_gateway_may_reach() {
    let settings: toml::Value = toml::from_str(GATEWAY_SETTINGS).unwrap();
    let url = url::Url::parse(settings["telemetry"]["otlp_endpoint"].as_str().unwrap()).unwrap();
    let namespace = url.host_str().unwrap().split('.').nth(1).unwrap();
    let policy = document(NETWORK, "NetworkPolicy", "cupola-gateway");
    let is_it = |rule: &&Value| {
        rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
            && rule["ports"][0]["port"].as_u64() == url.port().map(u64::from)
    };
    assert!(policy["spec"]["egress"].as_array().unwrap().iter().any(|rule| is_it(&rule)), "{policy}");
}

#[test]
fn every_file_of_the_kustomization_is_there_and_every_manifest_is_in_it() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let kustomization = &documents(KUSTOMIZATION)[0];
    let resources = kustomization["resources"].as_array().unwrap().iter();
    let maps = kustomization["configMapGenerator"].as_array().unwrap().iter();
    let files = maps.flat_map(|generated| generated["files"].as_array().unwrap());
    let mut named: BTreeSet<_> = resources.chain(files).map(|name| text(name).to_owned()).collect();
    named.insert("kustomization.yaml".to_owned());
    let found: BTreeSet<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, named);
    let image = kustomization["images"][0]["name"].clone();
    let deployment = document(GATEWAY, "Deployment", "cupola-gateway");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(kustomization["images"][0]["newTag"], version);
    for text in [CONTAINER_FILE, PAGE] {
        assert!(text.contains(&format!("--tag {}:{version}", self::text(&image))));
    }
}

/// The settings, as the gateway reads them.
fn loaded(settings: &str) -> Config {
    let home = Home::new();
    std::fs::write(home.path("gateway.toml"), settings).unwrap();
    Config::resolve(Flags::default(), &|name| match name {
        "HOME" => Some(home.path("").into()),
        "CUPOLA_CONFIG" => Some(home.path("gateway.toml").into()),
        _ => None,
    })
    .unwrap()
}

#[test]
fn the_configurations_are_ones_that_the_program_takes() {
    let config = loaded(GATEWAY_SETTINGS);
    assert!(config.gateway.is_some());
    assert!(matches!(config.store, StoreConfig::Redis(_)));
    assert_eq!(config.telemetry.unwrap().service_name, "cupola-gateway");
    let config = loaded(UNIT_SETTINGS);
    assert!(matches!(config.store, StoreConfig::Sqlite));
    assert!(config.telemetry.unwrap().metrics_listen.is_some());
}

#[test]
fn the_unit_is_understood_and_hands_over_the_files_that_its_configuration_names() {
    let settings: toml::Value = toml::from_str(UNIT_SETTINGS).unwrap();
    let named = strings(&settings);
    let named = named_below(named.iter().map(String::as_str), "/run/credentials/cupola-gateway.service");
    let handed = UNIT.lines().filter_map(|line| line.strip_prefix("LoadCredential=")?.split(':').next());
    assert_eq!(named, handed.map(ToOwned::to_owned).collect());
    for program in ["systemd-analyze"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            return skip(program, "it is not installed (Debian: apt install systemd)");
        }
    }
    let home = Home::new();
    let unit = home.path("cupola-gateway.service");
    std::fs::write(&unit, UNIT.replace("/usr/bin/cupola", env!("CARGO_BIN_EXE_cupola"))).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").arg(&unit).stderr(Stdio::piped());
    let output = finish(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("cupola-gateway"), "{said}");
}
