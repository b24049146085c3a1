//! What a store does with a script: its keys, the commands that scripts use, and Lua 5.1, which Valkey and Redis have. Held against a real
//! server by `tests/it/shared_store/scripts.rs`.

use mlua::{Function, IntoLua as _, Lua, Table, Value as LuaValue, Variadic};
use redis::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a key has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Text(String),
    Hash(BTreeMap<String, String>),
    Set(BTreeSet<String>),
    /// Members with their scores.
    Sorted(BTreeMap<String, i64>),
}

/// All keys. Those whose time is over are gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Keys {
    entries: BTreeMap<String, (Data, Option<u64>)>,
    /// Milliseconds.
    now: u64,
}

/// An answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Done,
    Number(i64),
    Text(String),
    List(Vec<Answer>),
}

impl Keys {
    /// Lets time pass.
    pub(super) fn at(&mut self, now: u64) {
        self.now = now;
        self.entries.retain(|_, (_, until)| until.is_none_or(|until| until > now));
    }

    /// Every key, without times. For the comparison with a real server.
    #[allow(dead_code, reason = "the simulation itself does not look at all of them")]
    pub(super) fn all(&self) -> BTreeMap<String, Data> {
        self.entries.iter().map(|(key, (data, _))| (key.clone(), data.clone())).collect()
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some((Data::Text(text), _)) => Some(text),
            _ => None,
        }
    }

    /// A field of a hash.
    pub(super) fn field(&self, key: &str, field: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some((Data::Hash(fields), _)) => fields.get(field).map(String::as_str),
            _ => None,
        }
    }

    fn hash(&mut self, key: &str) -> &mut BTreeMap<String, String> {
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| (Data::Hash(BTreeMap::new()), None));
        let Data::Hash(fields) = &mut entry.0 else { panic!("{key} is not a hash") };
        fields
    }

    fn set(&mut self, key: &str) -> &mut BTreeSet<String> {
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| (Data::Set(BTreeSet::new()), None));
        let Data::Set(members) = &mut entry.0 else { panic!("{key} is not a set") };
        members
    }

    fn sorted(&mut self, key: &str) -> &mut BTreeMap<String, i64> {
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| (Data::Sorted(BTreeMap::new()), None));
        let Data::Sorted(members) = &mut entry.0 else { panic!("{key} is not a sorted set") };
        members
    }

    /// One command.
    pub(super) fn call(&mut self, words: &[String]) -> Answer {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = self.answer(&words);
        // As in the store: nothing is kept of what is empty.
        self.entries.retain(|_, (data, _)| match data {
            Data::Text(_) => true,
            Data::Hash(fields) => !fields.is_empty(),
            Data::Set(members) => !members.is_empty(),
            Data::Sorted(members) => !members.is_empty(),
        });
        answer
    }

    fn answer(&mut self, words: &[&str]) -> Answer {
        let number = |count: usize| Answer::Number(i64::try_from(count).unwrap());
        let optional = |text: Option<String>| text.map_or(Answer::Nothing, Answer::Text);
        match *words {
            ["GET", key] => optional(self.text(key).map(ToOwned::to_owned)),
            ["SET", key, value, ref rest @ ..] => {
                let until = match *rest {
                    ["PX", life] => Some(self.now + life.parse::<u64>().unwrap()),
                    [] => None,
                    _ => panic!("{words:?}"),
                };
                self.entries.insert(key.to_owned(), (Data::Text(value.to_owned()), until));
                Answer::Done
            }
            ["INCR", key] => {
                let next = self.text(key).map_or(0, |text| text.parse::<i64>().unwrap()) + 1;
                let until = self.entries.get(key).and_then(|(_, until)| *until);
                self.entries.insert(key.to_owned(), (Data::Text(next.to_string()), until));
                Answer::Number(next)
            }
            ["DEL", key] => number(usize::from(self.entries.remove(key).is_some())),
            ["EXISTS", key] => number(usize::from(self.entries.contains_key(key))),
            ["PEXPIRE", key, life] => {
                let until = self.now + life.parse::<u64>().unwrap();
                self.entries.get_mut(key).map_or(Answer::Number(0), |entry| {
                    entry.1 = Some(until);
                    Answer::Number(1)
                })
            }
            ["HGET", key, field] => optional(self.field(key, field).map(ToOwned::to_owned)),
            ["HMGET", key, ref fields @ ..] => Answer::List(
                fields.iter().map(|field| optional(self.field(key, field).map(ToOwned::to_owned))).collect(),
            ),
            ["HGETALL", key] => {
                let fields = self.hash(key).clone();
                Answer::List(
                    fields.into_iter().flat_map(|(field, value)| [Answer::Text(field), Answer::Text(value)]).collect(),
                )
            }
            ["HSET", key, ref pairs @ ..] => {
                let fields = self.hash(key);
                let new =
                    pairs.chunks(2).filter(|pair| fields.insert(pair[0].to_owned(), pair[1].to_owned()).is_none());
                number(new.count())
            }
            ["HSETNX", key, field, value] => {
                let fields = self.hash(key);
                if fields.contains_key(field) {
                    return Answer::Number(0);
                }
                fields.insert(field.to_owned(), value.to_owned());
                Answer::Number(1)
            }
            ["HDEL", key, field] => number(usize::from(self.hash(key).remove(field).is_some())),
            ["SADD", key, member] => number(usize::from(self.set(key).insert(member.to_owned()))),
            ["SREM", key, member] => number(usize::from(self.set(key).remove(member))),
            ["SCARD", key] => number(self.set(key).len()),
            ["SMEMBERS", key] => Answer::List(self.set(key).iter().cloned().map(Answer::Text).collect()),
            ["ZADD", key, score, member] => {
                let score = score.parse().unwrap();
                number(usize::from(self.sorted(key).insert(member.to_owned(), score).is_none()))
            }
            ["ZREM", key, member] => number(usize::from(self.sorted(key).remove(member).is_some())),
            ["ZCARD", key] => number(self.sorted(key).len()),
            ["ZREVRANGE", key, "0", "0", "WITHSCORES"] => {
                let highest = self.sorted(key).iter().max_by_key(|(member, score)| (**score, member.as_str()));
                let highest = highest.map(|(member, score)| [member.clone(), score.to_string()]);
                Answer::List(highest.into_iter().flatten().map(Answer::Text).collect())
            }
            ["ZRANGEBYLEX", key, from, to, "LIMIT", "0", most] => {
                let bound = |text: &str, is_first: bool| match (text.split_at_checked(1), is_first) {
                    (Some(("-", _)), true) | (Some(("+", _)), false) => Bound::Unbounded,
                    (Some(("[", key)), _) => Bound::Included(key.to_owned()),
                    (Some(("(", key)), _) => Bound::Excluded(key.to_owned()),
                    _ => panic!("{words:?}"),
                };
                let members = self.sorted(key);
                assert!(members.values().all(|score| *score == 0), "the store has no such order here: {members:?}");
                let within = members.range((bound(from, true), bound(to, false)));
                let within = within.take(most.parse().unwrap());
                Answer::List(within.map(|(member, _)| Answer::Text(member.clone())).collect())
            }
            ["ZREVRANGE", key, from, "-1"] => {
                let mut members: Vec<_> =
                    self.sorted(key).iter().map(|(member, score)| (*score, member.clone())).collect();
                members.sort();
                let latest = members.into_iter().rev().skip(from.parse().unwrap());
                Answer::List(latest.map(|(_, member)| Answer::Text(member)).collect())
            }
            _ => panic!("the simulated store does not know {words:?}"),
        }
    }
}

/// A store.
pub(super) struct Engine {
    keys: Arc<Mutex<Keys>>,
    lua: Lua,
    functions: HashMap<String, Function>,
}

impl Engine {
    /// An empty one.
    pub(super) fn new() -> Self {
        let (lua, keys) = (Lua::new(), Arc::new(Mutex::new(Keys::default())));
        let redis = lua.create_table().unwrap();
        let own = Arc::clone(&keys);
        let call = lua.create_function(move |lua, words: Variadic<LuaValue>| {
            let words: Vec<String> = words.iter().map(word).collect();
            let answer = own.lock().unwrap().call(&words);
            Ok(to_lua(lua, answer))
        });
        redis.set("call", call.unwrap()).unwrap();
        let reply = lua.create_function(|lua, text: String| {
            let table = lua.create_table()?;
            table.set("err", text)?;
            Ok(table)
        });
        redis.set("error_reply", reply.unwrap()).unwrap();
        lua.globals().set("redis", redis).unwrap();
        Self { keys, lua, functions: HashMap::new() }
    }

    /// What is in it.
    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap()
    }

    /// Runs a script with one key. An error begins with its code.
    pub(super) fn run(&mut self, script: &str, key: &str, arguments: &[&str]) -> Result<Value, String> {
        let globals = self.lua.globals();
        globals.set("KEYS", vec![key]).unwrap();
        globals.set("ARGV", arguments.to_vec()).unwrap();
        let function = self.functions.entry(script.to_owned()).or_insert_with(|| {
            let text = if script.starts_with("#!") { script.split_once('\n').unwrap().1 } else { script };
            self.lua.load(text).into_function().unwrap()
        });
        from_lua(function.call::<LuaValue>(()).map_err(|error| error.to_string())?)
    }

    /// Runs a command.
    pub(super) fn command(&self, words: &[String]) -> Value {
        from_answer(self.keys().call(words))
    }
}

/// A word of a command, as the store takes it from Lua.
fn word(value: &LuaValue) -> String {
    match value {
        LuaValue::String(text) => text.to_string_lossy(),
        LuaValue::Integer(number) => number.to_string(),
        LuaValue::Number(number) => format!("{number}"),
        other => panic!("{other:?} is not a word of a command"),
    }
}

fn to_lua(lua: &Lua, answer: Answer) -> LuaValue {
    match answer {
        Answer::Nothing => LuaValue::Boolean(false),
        Answer::Done => {
            let table = lua.create_table().unwrap();
            table.set("ok", "OK").unwrap();
            LuaValue::Table(table)
        }
        Answer::Number(number) => number.into_lua(lua).unwrap(),
        Answer::Text(text) => text.into_lua(lua).unwrap(),
        Answer::List(answers) => {
            let table = lua.create_table().unwrap();
            for (place, answer) in (1..).zip(answers) {
                table.set(place, to_lua(lua, answer)).unwrap();
            }
            LuaValue::Table(table)
        }
    }
}

fn from_lua(value: LuaValue) -> Result<Value, String> {
    Ok(match value {
        LuaValue::Nil | LuaValue::Boolean(false) => Value::Nil,
        LuaValue::Boolean(true) => Value::Int(1),
        LuaValue::Integer(number) => Value::Int(number),
        #[expect(clippy::cast_possible_truncation, reason = "as the store does it")]
        LuaValue::Number(number) => Value::Int(number as i64),
        LuaValue::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        LuaValue::Table(table) => return from_table(&table),
        other => panic!("{other:?} is not an answer"),
    })
}

fn from_table(table: &Table) -> Result<Value, String> {
    if let Ok(Some(error)) = table.get::<Option<String>>("err") {
        return Err(error);
    }
    if let Ok(Some(_)) = table.get::<Option<String>>("ok") {
        return Ok(Value::Okay);
    }
    let mut answers = Vec::new();
    for place in 1.. {
        match table.get::<LuaValue>(place).unwrap() {
            LuaValue::Nil => break,
            value => answers.push(from_lua(value)?),
        }
    }
    Ok(Value::Array(answers))
}

fn from_answer(answer: Answer) -> Value {
    match answer {
        Answer::Nothing => Value::Nil,
        Answer::Done => Value::Okay,
        Answer::Number(number) => Value::Int(number),
        Answer::Text(text) => Value::BulkString(text.into_bytes()),
        Answer::List(answers) => Value::Array(answers.into_iter().map(from_answer).collect()),
    }
}
