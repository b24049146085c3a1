//! Connections to the store's server: one for what need not be waited for, and a few for writes, each of which is followed by the
//! question whether it is safe.

use super::faults::fault;
use super::line::{Answered, Ask, Known, Remote, Work};
use super::seal::Sealer;
use super::settings::{Place, RedisSettings};
use crate::partition::store::SharedFault;
use crate::system::secret::Variables;
use crate::system::tls;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, Pipeline, TlsCertificates, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use uuid::Uuid;

/// How long to wait for one connection or one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How long the store is given to make a write safe. Less than [`ANSWER_LIMIT`], so that its answer arrives.
const SAFE_LIMIT: Duration = Duration::from_millis(2500);

/// Writes that wait for their safety at once, each on a connection of its own. More wait for one of these.
const WRITERS: usize = 16;

/// The format of what is kept, and the newest one that this program knows.
const FORMAT: &str = "1";

/// The connections.
pub(super) struct Connections {
    settings: RedisSettings,
    place: Place,
    variable: Variables,
    common: Mutex<Option<(MultiplexedConnection, Arc<Known>)>>,
    writers: SyncMutex<Vec<MultiplexedConnection>>,
    free: Semaphore,
    /// The id of the store when it was last looked at.
    seen: SyncMutex<Option<String>>,
    replaced: AtomicU64,
}

impl Remote for Connections {
    fn attempt<'a>(&'a self, work: &'a Work<'a>) -> BoxFuture<'a, Result<Answered, SharedFault>> {
        self.try_once(work).boxed()
    }

    fn reconnect(&self) {
        if let Ok(mut common) = self.common.try_lock() {
            *common = None;
        }
        self.idle_writers().clear();
    }

    fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }
}

impl Connections {
    pub(super) fn new(settings: RedisSettings, variable: Variables) -> Result<Self, &'static str> {
        let place = settings.place()?;
        Ok(Self {
            settings,
            place,
            variable,
            common: Mutex::default(),
            writers: SyncMutex::default(),
            free: Semaphore::new(WRITERS),
            seen: SyncMutex::default(),
            replaced: AtomicU64::new(0),
        })
    }

    pub(super) fn address(&self) -> String {
        let Place { host, port, .. } = &self.place;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    async fn try_once(&self, work: &Work<'_>) -> Result<Answered, SharedFault> {
        let (mut connection, known) = self.common().await?;
        let answer = match work {
            Work::Ask(ask) if ask.is_write => vec![self.write(connection, &known, ask).await?],
            Work::Ask(ask) => vec![self.run(&mut connection, ask, None).await?],
            Work::Send(commands) => {
                // Each answer by itself: an error of several loses its code.
                let mut commands = (*commands).clone();
                let answers = commands.ignore_errors().query_async::<Vec<Value>>(&mut connection).await;
                let answers = answers.map_err(|error| fault(&error))?.into_iter().map(Value::extract_error);
                answers.collect::<Result<_, _>>().map_err(|error| fault(&error))?
            }
            Work::Know => Vec::new(),
            Work::Look => {
                let get = redis::cmd("HGET").arg(self.meta()).arg("id").to_owned();
                let id: Option<String> = get.query_async(&mut connection).await.map_err(|error| fault(&error))?;
                if id.as_ref() != Some(&known.id) {
                    *self.common.lock().await = None;
                    self.common().await?;
                }
                Vec::new()
            }
        };
        Ok((answer, known))
    }

    /// Runs a script on a connection of its own, and waits until its effect is safe.
    async fn write(
        &self,
        mut common: MultiplexedConnection,
        known: &Known,
        ask: &Ask<'_>,
    ) -> Result<Value, SharedFault> {
        let waits_for = self.settings.waits_for();
        // Older servers are configured to write before they answer.
        let Some((disk, replicas)) =
            waits_for.filter(|(disk, replicas)| *replicas > 0 || (*disk && known.waits_for_disk))
        else {
            return self.run(&mut common, ask, None).await;
        };
        let mut wait = if disk && known.waits_for_disk {
            redis::cmd("WAITAOF").arg(1).arg(replicas).to_owned()
        } else {
            redis::cmd("WAIT").arg(replicas).to_owned()
        };
        wait.arg(SAFE_LIMIT.as_millis().to_string());
        let _free = self.free.acquire().await.map_err(|_| SharedFault::Other("the line is closed".to_owned()))?;
        let idle = self.idle_writers().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = self.run(&mut connection, ask, Some(wait)).await?;
        self.idle_writers().push(connection);
        Ok(answer)
    }

    /// Runs a script on a connection, and asks behind it whether its effect is safe.
    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        ask: &Ask<'_>,
        wait: Option<redis::Cmd>,
    ) -> Result<Value, SharedFault> {
        let mut commands = Pipeline::new();
        commands.cmd("EVALSHA").arg(ask.script.digest()).arg(1).arg(ask.key).arg(ask.arguments);
        let is_waited_for = wait.is_some();
        if let Some(wait) = wait {
            commands.add_command(wait);
        }
        commands.ignore_errors();
        for is_known in [false, true] {
            let answers: Vec<Value> = commands.query_async(connection).await.map_err(|error| fault(&error))?;
            let mut answers = answers.into_iter().map(Value::extract_error);
            match answers.next() {
                Some(Err(error)) if error.code() == Some("NOSCRIPT") && !is_known => {
                    let load = redis::cmd("SCRIPT").arg("LOAD").arg(ask.script.text()).to_owned();
                    load.exec_async(connection).await.map_err(|error| fault(&error))?;
                }
                Some(Err(error)) => return Err(fault(&error)),
                None => break,
                Some(Ok(answer)) => {
                    if is_waited_for {
                        let safe = answers.next().unwrap_or(Ok(Value::Nil));
                        self.check_safe(&safe.map_err(|error| fault(&error))?)?;
                    }
                    return Ok(answer);
                }
            }
        }
        Err(SharedFault::Other("the store gave no answer to a script".to_owned()))
    }

    /// Does the answer to `WAIT` or `WAITAOF` say that enough have the write?
    fn check_safe(&self, answer: &Value) -> Result<(), SharedFault> {
        let replicas = i64::from(self.settings.replicas);
        let (on_disk, on_replicas) = match answer {
            Value::Int(replicas) => (true, *replicas),
            Value::Array(counts) => match counts[..] {
                [Value::Int(local), Value::Int(replicas)] => (local >= 1, replicas),
                _ => (false, 0),
            },
            _ => (false, 0),
        };
        if !on_disk {
            return Err(SharedFault::NotDurable("it is not on the store's disk yet".to_owned()));
        }
        if on_replicas < replicas {
            return Err(SharedFault::NotDurable(format!("{on_replicas} of {replicas} replicas have it")));
        }
        Ok(())
    }

    /// The common connection, made if there is none, and what is known of the store behind it.
    async fn common(&self) -> Result<(MultiplexedConnection, Arc<Known>), SharedFault> {
        let mut common = self.common.lock().await;
        if let Some((connection, known)) = &*common {
            return Ok((connection.clone(), Arc::clone(known)));
        }
        let mut connection = self.connect().await?;
        let known = Arc::new(self.get_to_know(&mut connection).await?);
        *common = Some((connection.clone(), Arc::clone(&known)));
        Ok((connection, known))
    }

    fn idle_writers(&self) -> std::sync::MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meta(&self) -> String {
        format!("{}:meta", self.settings.prefix)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, SharedFault> {
        tls::use_ring();
        let Place { host, port, database, is_tls } = &self.place;
        let address = if *is_tls {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host.clone(), *port)
        };
        let mut info = address.into_connection_info().map_err(|error| fault(&error))?;
        let mut user = info.redis_settings().clone().set_db(*database);
        if let Some(name) = &self.settings.username {
            user = user.set_username(name);
        }
        // Read for every connection: secrets change while a daemon runs.
        if let Some(password) = &self.settings.password {
            user = user.set_password(password.read(&*self.variable).map_err(SharedFault::Settings)?);
        }
        info = info.set_redis_settings(user);
        let client = if *is_tls {
            let root_cert = match &self.settings.authorities {
                Some(path) => Some(crate::system::secret::file(path).map_err(SharedFault::Settings)?.into_bytes()),
                None => None,
            };
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        } else {
            Client::open(info)
        };
        let client = client.map_err(|error| fault(&error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| fault(&error))
    }

    /// Checks what kind of server it is, and reads what is said once about the whole store.
    async fn get_to_know(&self, connection: &mut MultiplexedConnection) -> Result<Known, SharedFault> {
        let key = self.settings.sealing_key.read(&*self.variable).map_err(SharedFault::Settings)?;
        let sealer = Sealer::new(&key).map_err(SharedFault::Settings)?;
        let server = Server::of(connection).await?;
        let waits_for_disk = server.waits_for_disk;
        if self.settings.waits_for().is_some_and(|(disk, _)| disk) && !waits_for_disk {
            server.must_write_before_it_answers(connection).await?;
        }
        let random = || sealer.random::<32>().ok_or_else(|| SharedFault::Other("no random bytes".to_owned()));
        let place = format!("{}:secret", self.settings.prefix);
        let secret = sealer.seal(&place, &random()?).ok_or_else(|| SharedFault::Other("no random bytes".to_owned()))?;
        let (id, meta) = (Uuid::new_v4().simple().to_string(), self.meta());
        let arguments = [FORMAT, &id, &secret];
        let script = &super::scripts::META;
        let wait = None;
        let answer =
            self.run(connection, &Ask { script, key: &meta, arguments: &arguments, is_write: true }, wait).await?;
        let (found, id, secret): (String, String, String) =
            redis::from_redis_value(answer).map_err(|error| SharedFault::Other(error.to_string()))?;
        if found != FORMAT {
            return Err(SharedFault::TooNew { found, known: FORMAT });
        }
        let secret = sealer.open(&place, &secret).ok_or(SharedFault::AnotherKey)?;
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(id.clone());
        if before.is_some_and(|before| before != id) {
            self.replaced.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(store = %self.address(), "the shared store was emptied or replaced; using what is there now");
        }
        Ok(Known { id, secret, sealer, waits_for_disk })
    }
}

/// What `INFO` says of the server.
struct Server {
    waits_for_disk: bool,
}

impl Server {
    async fn of(connection: &mut MultiplexedConnection) -> Result<Self, SharedFault> {
        let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.map_err(|e| fault(&e))?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // Valkey says which Redis it is compatible with.
        let version = field("redis_version").unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let version_numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version_numbers < (7, 0) {
            return Err(SharedFault::Unsupported(format!(
                "it is version {version:?}; Valkey, or Redis 7 or newer, is needed"
            )));
        }
        if field("redis_mode") == Some("cluster") || field("server_mode") == Some("cluster") {
            return Err(SharedFault::Unsupported(
                "it is a cluster; one server, or one endpoint of a primary, is needed".to_owned(),
            ));
        }
        Ok(Self { waits_for_disk: version_numbers >= (7, 2) })
    }

    /// Without `WAITAOF`, a server is as durable as its own settings.
    async fn must_write_before_it_answers(&self, connection: &mut MultiplexedConnection) -> Result<(), SharedFault> {
        let get = redis::cmd("CONFIG").arg("GET").arg("appendfsync").arg("appendonly").to_owned();
        let found: Result<std::collections::HashMap<String, String>, _> = get.query_async(connection).await;
        let is = |name: &str, value: &str| {
            found.as_ref().is_ok_and(|found| found.get(name).is_some_and(|found| found == value))
        };
        if is("appendonly", "yes") && is("appendfsync", "always") {
            return Ok(());
        }
        Err(SharedFault::Unsupported(
            "a Redis older than 7.2 cannot say when a write is on disk, and is not known to have appendonly yes and appendfsync always"
                .to_owned(),
        ))
    }
}
