//! What agents asked: one record per partition, with a field per question. The texts are sealed: they have arguments of tools.

use super::scripts::{ASK, CLAIM_QUESTIONS, SETTLE_QUESTIONS};
use super::{RedisStore, leases, partition_suffix};
use crate::partition::Partition;
use crate::partition::questions::{Asked, Claimed, KEPT_FOR, MAX_QUESTIONS, NotOpen};
use crate::partition::store::{QuestionStore, SharedFault, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

impl RedisStore {
    fn seal_question(&self, known: &super::line::Known, asked: &Asked) -> Result<String, StoreError> {
        let sealed = serde_json::to_vec(asked).ok().and_then(|text| known.sealer.seal(&asked.question.id, &text));
        sealed.ok_or_else(|| self.line.error(SharedFault::Other("a question could not be sealed".to_owned())))
    }
}

impl QuestionStore for RedisStore {
    fn ask(&self, partition: &Partition, asked: &[Asked], again: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let (key, suffix, asked) = (self.base(&partition.agent), partition_suffix(partition), asked.to_vec());
        async move {
            let known = self.line.known().await?;
            let mut pairs = Vec::new();
            for asked in &asked {
                pairs.extend([asked.question.id.clone(), self.seal_question(&known, asked)?]);
            }
            let (lock, token) = leases::guard(self.lease.as_ref());
            let (most, life) = (MAX_QUESTIONS.to_string(), KEPT_FOR.as_millis().to_string());
            let again = if again { "1" } else { "" };
            let mut arguments = vec![&*lock, &*token, &*suffix, again, &*most, &*life];
            arguments.extend(pairs.iter().map(String::as_str));
            self.write(&ASK, &key, &arguments).await.map(drop)
        }
        .boxed()
    }

    fn claim_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let (key, suffix) = (self.base(&partition.agent), partition_suffix(partition));
        let (claim, ids) = (claim.to_owned(), ids.to_vec());
        async move {
            let known = self.line.known().await?;
            let (lock, token) = leases::guard(self.lease.as_ref());
            let mut arguments = vec![&*lock, &*token, &*suffix, &*claim];
            arguments.extend(ids.iter().map(String::as_str));
            let found: Vec<String> = self.line.read_as(self.write(&CLAIM_QUESTIONS, &key, &arguments).await?)?;
            let refused = |why| Ok(Err((found.get(1).cloned().unwrap_or_default(), why)));
            match found.first().map(String::as_str) {
                Some("answered") => return refused(NotOpen::Answered),
                Some("unknown") => return refused(NotOpen::Unknown),
                _ => {}
            }
            let asked = ids.iter().zip(found.iter().skip(1)).map(|(id, sealed)| {
                let asked = known.sealer.open(id, sealed).and_then(|text| serde_json::from_slice(&text).ok());
                asked.ok_or_else(|| (id.clone(), NotOpen::Unknown))
            });
            Ok(asked.collect())
        }
        .boxed()
    }

    fn settle_questions(
        &self,
        partition: &Partition,
        claim: &str,
        ids: &[String],
        were_sent: bool,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (key, suffix) = (self.base(&partition.agent), partition_suffix(partition));
        let (claim, ids) = (claim.to_owned(), ids.to_vec());
        async move {
            let (lock, token) = leases::guard(self.lease.as_ref());
            let mut arguments = vec![&*lock, &*token, &*suffix, &*claim, if were_sent { "1" } else { "" }];
            arguments.extend(ids.iter().map(String::as_str));
            self.write(&SETTLE_QUESTIONS, &key, &arguments).await.map(drop)
        }
        .boxed()
    }

    fn open_questions(&self, partition: &Partition) -> BoxFuture<'_, Result<Vec<Asked>, StoreError>> {
        let key = format!("{}:q:{}", self.base(&partition.agent), partition_suffix(partition));
        async move {
            let record = self.record(&key).await?;
            if record.is_empty() {
                return Ok(Vec::new());
            }
            let known = self.line.known().await?;
            // A field that this program did not write is skipped.
            let mut open: Vec<(u64, Asked)> = record
                .iter()
                .filter_map(|(field, value)| {
                    let (number, sealed) = value.strip_prefix("open|")?.split_once('|')?;
                    let text = known.sealer.open(field.strip_prefix('q')?, sealed)?;
                    Some((number.parse().ok()?, serde_json::from_slice(&text).ok()?))
                })
                .collect();
            open.sort_by_key(|(number, _)| *number);
            Ok(open.into_iter().map(|(_, asked)| asked).collect())
        }
        .boxed()
    }
}
