//! The cases, one after the other, on one agent.

use super::checklist::{Case, Who};
use super::expect::{Expectation, Read, STATUS};
use super::made::{Made, Thing};
use super::replaced::Replaced;
use super::report::{Cleanup, Outcome, Row};
use super::subject::{Outgoing, Subject};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Longest part of the service's own message in a report, in characters: a sentence or two.
const MAX_MESSAGE: usize = 160;

/// A run under way.
#[derive(Debug)]
pub struct Trial<'a> {
    subject: &'a Subject,
    names: BTreeMap<String, String>,
    replaced: Replaced,
    made: Made,
}

impl<'a> Trial<'a> {
    /// Nothing is sent yet.
    pub fn of(subject: &'a Subject) -> Self {
        Self { subject, names: subject.names(), replaced: subject.replaced(), made: Made::default() }
    }

    /// Tries one case. What it made is known from before its request is sent, so that it can be deleted also when no answer comes.
    pub async fn attempt(&mut self, case: &Case) -> Row {
        let outcome = match self.subject.lacks(case) {
            Some(why) => Outcome::NotApplicable { why: why.to_owned() },
            None => match self.request(case) {
                Err(name) => Outcome::NotRun { why: format!("needs {{{name}}}, which an earlier case did not give") },
                Ok(request) => self.send(case, &request).await,
            },
        };
        Row::of(case, outcome)
    }

    /// Deletes everything that was made. What could not be deleted is named.
    pub async fn clean_up(&mut self) -> Cleanup {
        self.made.delete_all(self.subject).await
    }

    /// What was made and not deleted yet.
    pub fn left(&self) -> Vec<String> {
        self.made.shown()
    }

    /// The request of a case; the name that is not known, if there is one.
    fn request(&mut self, case: &Case) -> Result<Outgoing, String> {
        let mut headers = self.subject.headers(case.who);
        for (name, value) in &case.headers {
            headers.insert(name.clone(), self.filled(value)?);
        }
        let body = match (&case.body, case.bytes) {
            (Some(text), _) => Some(("application/json", Bytes::from(self.filled(text)?))),
            (None, Some(count)) => Some(("application/octet-stream", Bytes::from(vec![b'x'; count]))),
            (None, None) => None,
        };
        let request = Outgoing {
            send: self.filled(&case.send)?,
            headers,
            without: case.without.clone(),
            body,
            stays_open: case.stays_open,
        };
        if let Some(label) = case.created_session() {
            self.made.add(Thing::Session, self.subject.session(label), request.headers.clone(), false);
        }
        Ok(request)
    }

    async fn send(&mut self, case: &Case, request: &Outgoing) -> Outcome {
        let answer = match self.subject.send(request).await {
            Ok(answer) => Read::of(&answer),
            Err(error) => {
                return Outcome::Differs {
                    answered: format!("no answer: {}", self.replaced.apply(&error.to_string())),
                };
            }
        };
        self.note(case, request, &answer);
        let mut faults = Vec::new();
        for text in &case.expect {
            let Ok(text) = self.filled(text) else { continue };
            let fault = Expectation::parse(&text).and_then(|expected| expected.fault(&answer));
            faults.extend(fault.map(|(place, found)| (place.to_owned(), self.replaced.apply(&found))));
        }
        for (name, place) in &case.keep {
            if let Some(value) = answer.at(place) {
                self.replaced.put(&value, &format!("<{name}>"));
                self.names.insert(name.clone(), value.into_owned());
            }
        }
        let mut answered = answer.status.to_string();
        if let Some(code) = answer.at("error.code").filter(|code| *code != "null") {
            answered = format!("{answered} {}", self.replaced.apply(&code));
        }
        if faults.is_empty() {
            return Outcome::AsContract { answered };
        }
        // The status stands at the beginning.
        for (place, found) in faults.iter().filter(|(place, _)| place != STATUS) {
            answered = format!("{answered}; {place}: {found}");
        }
        if let Some(message) = answer.at("error.message") {
            let message: String = message.chars().take(MAX_MESSAGE).collect();
            answered = format!("{answered} ({})", self.replaced.apply(&message));
        }
        Outcome::Differs { answered }
    }

    /// Notes what the answer says was made.
    fn note(&mut self, case: &Case, request: &Outgoing, answer: &Read) {
        if !(200..300).contains(&answer.status) {
            return;
        }
        let path = case.send.split('?').next().unwrap_or_default();
        let made = |place: &str| answer.at(place).map(std::borrow::Cow::into_owned);
        match path {
            "POST @responses" => {
                if let Some(id) = made("response.id").or_else(|| made("id")) {
                    self.made.add(Thing::Response, id, request.headers.clone(), false);
                }
            }
            "POST @conversations" => {
                if let Some(id) = made("id") {
                    self.made.add(Thing::Conversation, id, request.headers.clone(), false);
                }
            }
            _ => {}
        }
        // Only of users of our own making: the caller's own default session may be in use.
        if case.is_unnamed()
            && matches!(case.who, Who::A | Who::B)
            && let Some(id) = made("@x-agent-session-id")
        {
            self.made.add(Thing::Session, id, request.headers.clone(), true);
        }
    }

    /// A text with its names replaced by what they stand for; the name that is not known, if there is one.
    fn filled(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            filled += before;
            // The braces of JSON are not names.
            let name = after.split_once('}').filter(|(name, _)| is_name(name));
            if let Some((name, after)) = name {
                filled += &match name.strip_prefix("s:") {
                    Some(label) => self.subject.session(label),
                    None => self.names.get(name).cloned().ok_or_else(|| name.to_owned())?,
                };
                rest = after;
            } else {
                filled.push('{');
                rest = after;
            }
        }
        Ok(filled + rest)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == ':')
}
