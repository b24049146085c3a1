//! What the gateway adds to a call, beside the same call to the emulator without it: at 1, 16 and 256 callers. Both speak HTTP without TLS,
//! so that the difference is the gateway's own work: the proof, the bounds, the state, and passing the answer on.
//!
//! Store operations are counted where `redis-server` is installed.

use crate::Setting;
use crate::bed::{self, Bed, Ids, MESSAGE, USER_KEY};
use crate::capture::{self, Request};
use crate::line;
use crate::measure::{Times, float, us};
use crate::process::Process;
use crate::report::{Report, Target, duration};
use cupola::telemetry::Telemetry;
use futures_util::future::try_join_all;
use reqwest::Client;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How many callers there are at once.
const CALLERS: [usize; 3] = [1, 16, 256];
/// Turns of measuring, each with and without the gateway.
const TURNS: usize = 4;
/// Calls of one measuring, all callers together.
const CALLS: usize = 512;
/// Calls whose store operations are counted.
const COUNTED: usize = 50;
/// Callers who each pause between their calls, and for how long: what is added is then not the time that all of them together need of the
/// machine's processors, which the emulator and the benchmark use, too.
const PACED: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);
/// What the gateway may add at 16 callers, in microseconds.
const ADDED_AT_MOST: f64 = 500.0;
/// Times that a turn asks whether it is to be recorded, for the cost of telemetry that is off.
const ASKED: u32 = 1_000_000;
/// How long the store may take to start.
const STORE_START: Duration = Duration::from_secs(10);

/// Row 15.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    off(report);
    let bed = Bed::start(setting)?;
    let request = capture::request(&bed)?;
    let issuer = Issuer::start()?;
    // Its own emulator: one serves 400 connections at once, and both ways have one for each caller.
    let (_emulator, behind) = bed::emulator(&setting.binary, bed.directory(), "behind", &[])?;
    let gateway = Gateway::start(&setting.binary, bed.directory(), &behind.url, &issuer, "")?;
    let runtime = runtime()?;
    for callers in CALLERS {
        let people: Vec<_> = (0..callers).map(|number| format!("caller-{callers}-{number}")).collect();
        let direct = direct(&bed, &request, &people)?;
        let through = gateway.requests(&issuer, &people)?;
        // The first ones make sessions and connections.
        runtime.block_on(all(&through, callers, Duration::ZERO))?;
        runtime.block_on(all(&direct, callers, Duration::ZERO))?;
        let (mut without, mut with) = (Measured::default(), Measured::default());
        for _ in 0..TURNS {
            without.add(&runtime, &direct, CALLS.max(callers), Duration::ZERO)?;
            with.add(&runtime, &through, CALLS.max(callers), Duration::ZERO)?;
        }
        tell(report, &format!("{callers} callers"), callers == PACED, without, with);
        if callers == PACED {
            let (mut without, mut with) = (Measured::default(), Measured::default());
            for _ in 0..TURNS {
                without.add(&runtime, &direct, CALLS, PAUSE)?;
                with.add(&runtime, &through, CALLS, PAUSE)?;
            }
            tell(report, &format!("{callers} callers that pause for {} ms", PAUSE.as_millis()), true, without, with);
        }
    }
    drop(gateway);
    store(setting, report, &issuer)
}

/// What many calls took.
#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    whole: Duration,
}

impl Measured {
    fn add(
        &mut self,
        runtime: &Runtime,
        requests: &[reqwest::RequestBuilder],
        calls: usize,
        pause: Duration,
    ) -> Result<(), String> {
        let began = Instant::now();
        self.times.extend(runtime.block_on(all(requests, calls, pause))?);
        self.whole += began.elapsed();
        Ok(())
    }

    fn a_second(&self) -> f64 {
        float(self.times.len()) / self.whole.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn tell(report: &mut Report, who: &str, has_target: bool, without: Measured, with: Measured) {
    let (rate, direct_rate) = (with.a_second(), without.a_second());
    let (without, with) = (Times::of(without.times), Times::of(with.times));
    let at = format!("gateway, {who}");
    report.add(15, format!("{at}: calls a second"), (rate, ""), Target::None, format!("direct: {direct_rate:.0}"));
    for (name, ours, theirs, target) in [
        ("p50", with.median(), without.median(), Target::None),
        ("p99", with.p99(), without.p99(), if has_target { Target::AtMost(ADDED_AT_MOST) } else { Target::None }),
    ] {
        let of = format!("{} : {}, {} calls each", duration(ours), duration(theirs), with.count());
        report.add(15, format!("{at}: added at {name}"), (us(ours) - us(theirs), "µs"), target, of);
    }
}

/// What a turn pays for telemetry that is off: one look at whether there is any.
fn off(report: &mut Report) {
    let telemetry = Telemetry::default();
    let began = Instant::now();
    for _ in 0..ASKED {
        assert!(std::hint::black_box(&telemetry).begin(None).is_none(), "telemetry that is off records nothing");
    }
    let each = us(began.elapsed()) * 1e3 / f64::from(ASKED);
    report.add(
        15,
        "telemetry that is off: cost of a turn",
        (each, "ns"),
        Target::AtMost(20.0),
        format!("{ASKED} turns"),
    );
}

/// Makes this many calls, each caller its own one after the other, with a pause before each. Gives the times of each.
async fn all(requests: &[reqwest::RequestBuilder], calls: usize, pause: Duration) -> Result<Vec<Duration>, String> {
    let each = calls / requests.len().max(1);
    let callers = requests.iter().zip(0_u32..).map(async |(request, number)| {
        let mut times = Vec::with_capacity(each);
        // Callers that pause do not call all at once.
        tokio::time::sleep(pause * number / u32::try_from(requests.len()).unwrap_or(1)).await;
        for _ in 0..each {
            tokio::time::sleep(pause).await;
            let request = request.try_clone().ok_or("the request cannot be repeated")?;
            let began = Instant::now();
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.bytes().await.map_err(|error| error.to_string())?;
            times.push(began.elapsed());
            // An error of a call has status 200 as well.
            if !status.is_success() || body.starts_with(br#"{"jsonrpc":"2.0","id":1,"error""#) {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
            }
        }
        Ok(times)
    });
    Ok(try_join_all(callers).await?.concat())
}

fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

/// The requests that the daemon would send for these people, each in a session of its own.
fn direct(bed: &Bed, request: &Request, people: &[String]) -> Result<Vec<reqwest::RequestBuilder>, String> {
    let client = Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let target = json!({"kind": "emulator", "url": bed.plain.url, "agent": "notes"});
    let mut line = bed.line()?;
    let mut requests = Vec::new();
    for person in people {
        let answer = line.call("invoke", &line::invoke(&target, person, MESSAGE, false))?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let ids = Ids { session: text("sessionId"), conversation: text("conversationId") };
        let mut builder = client.post(request.url(&ids, &bed.plain)).body(request.body(&ids));
        for (name, value) in request.headers(&ids, &bed.plain) {
            builder = builder.header(name, if value == USER_KEY { person.clone() } else { value });
        }
        requests.push(builder);
    }
    Ok(requests)
}

/// `cupola gateway`.
struct Gateway {
    _process: Process,
    url: String,
}

impl Gateway {
    /// Starts it in front of an emulator, in a directory of its own below this one. `more`: further settings.
    fn start(binary: &Path, directory: &Path, emulator: &str, issuer: &Issuer, more: &str) -> Result<Self, String> {
        let text = format!(
            "{more}\n[gateway]\nlisten = \"127.0.0.1:0\"\ncallsPerMinute = 1000000000\n\
             [[gateway.issuers]]\nissuer = \"{}\"\naudience = \"bench\"\nalgorithm = \"ES256\"\n\
             [gateway.agents.notes]\ntarget = {{ kind = \"emulator\", url = \"{emulator}\", agent = \"notes\" }}\n\
             [[gateway.grants]]\n",
            issuer.url
        );
        let config = directory.join("gateway.toml");
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        bed::surround(&mut command, directory);
        command.env("CUPOLA_CONFIG", config).args(["gateway", "--plain-http", "--log", "warn"]);
        let (process, line) = Process::start("cupola gateway", command)?;
        let url = line.trim().strip_prefix("ready ").ok_or_else(|| format!("cupola gateway said {line:?}"))?;
        Ok(Self { _process: process, url: url.to_owned() })
    }

    /// One call for each of these people.
    fn requests(&self, issuer: &Issuer, people: &[String]) -> Result<Vec<reqwest::RequestBuilder>, String> {
        let client = Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "invoke", "params": {"input": MESSAGE}}).to_string();
        let request = |person: &String| {
            let builder = client.post(format!("{}/rpc", self.url)).bearer_auth(issuer.token(person)?);
            Ok(builder.header("content-type", "application/json").body(call.clone()))
        };
        people.iter().map(request).collect()
    }
}

/// An identity provider: two documents, and a key that signs.
struct Issuer {
    url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    fn start() -> Result<Self, String> {
        let failed = |error: ring::error::Unspecified| error.to_string();
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(|error| error.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let url = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
        let point = key.public_key().as_ref();
        let (x, y) = (base64(point.get(1..33).unwrap_or_default()), base64(point.get(33..).unwrap_or_default()));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "bench", "x": x, "y": y}]}).to_string();
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let Ok(read) = client.try_clone() else { continue };
                let mut lines = BufReader::new(read).lines().map_while(Result::ok);
                let is_for_keys = lines.next().is_some_and(|line| line.contains(" /keys "));
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let body = if is_for_keys { &keys } else { &discovery };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                // The gateway may be gone.
                let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(body.as_bytes()));
            }
        });
        Ok(Self { url, key })
    }

    fn token(&self, subject: &str) -> Result<String, String> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "bench"}).to_string();
        let claims = json!({"iss": self.url, "sub": subject, "aud": "bench", "exp": 4_000_000_000_u64}).to_string();
        let signed = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{signed}.{}", base64(signature.as_ref())))
    }
}

/// As JSON Web Tokens write bytes.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A `redis-server` of the benchmark's own.
struct Store {
    _process: Process,
    address: String,
}

impl Store {
    /// None where it is not installed.
    fn start(directory: &Path) -> Result<Option<Self>, String> {
        if !Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success()) {
            return Ok(None);
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &address.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--dir",
        ]);
        command.arg(directory);
        let process = Process::quiet("redis-server", command)?;
        let store = Self { _process: process, address: address.to_string() };
        let began = Instant::now();
        while store.scripts().is_err() {
            if began.elapsed() > STORE_START {
                return Err("redis-server does not get ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(store))
    }

    /// How many scripts it has run: each operation of Cupola is one.
    fn scripts(&self) -> Result<u32, String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.write_all(b"INFO commandstats\r\nQUIT\r\n").map_err(failed)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(failed)?;
        if !text.contains("# Commandstats") {
            return Err(text);
        }
        let calls = |line: &str| {
            let counted =
                line.strip_prefix("cmdstat_eval:calls=").or_else(|| line.strip_prefix("cmdstat_evalsha:calls="));
            counted?.split(',').next()?.parse::<u32>().ok()
        };
        Ok(text.lines().filter_map(calls).sum())
    }
}

/// Store operations of a call.
fn store(setting: &Setting, report: &mut Report, issuer: &Issuer) -> Result<(), String> {
    let directory = bed::directory()?;
    let Some(store) = Store::start(directory.path())? else {
        println!("redis-server is not installed: store operations are not counted");
        return Ok(());
    };
    let (_emulator, endpoint) = bed::emulator(&setting.binary, directory.path(), "plain", &[])?;
    let key = directory.path().join("store-key");
    fs::write(&key, "a key of the benchmark, and of nothing else").map_err(|error| error.to_string())?;
    let more = format!(
        "[store]\nkind = \"redis\"\nurl = \"redis://{}\"\nsealingKey = {{ file = \"{}\" }}\n",
        store.address,
        key.display()
    );
    let gateway = Gateway::start(&setting.binary, directory.path(), &endpoint.url, issuer, &more)?;
    let requests = gateway.requests(issuer, &["caller".to_owned()])?;
    let runtime = runtime()?;
    runtime.block_on(all(&requests, 2, Duration::ZERO))?;
    let before = store.scripts()?;
    runtime.block_on(all(&requests, COUNTED, Duration::ZERO))?;
    let each = f64::from(store.scripts()?.saturating_sub(before)) / float(COUNTED);
    let of = format!(
        "{COUNTED} warm calls: one before the agent is asked, two for the journal, and two that give leases back, for which nobody waits"
    );
    report.add(15, "gateway: store operations of a call", (each, "operations"), Target::None, of);
    Ok(())
}
