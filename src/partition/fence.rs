//! May this owner touch that session or conversation? Pure: decides from what is remembered, without asking the service.
//!
//! The service lets one delegated user enter another's session by its id (contract section 13.3). Cupola does not. This
//! guards against mixing users up; it is not a boundary against programs of the same operating-system user.

use crate::partition::Owner;

/// What the fence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the caller's own.
    Own,
    /// Nothing is remembered of it; the service decides.
    Unknown,
    /// It is remembered as another owner's.
    Foreign,
}

/// Judges a thing whose remembered owner is `remembered`.
pub fn judge(caller: Owner, remembered: Option<Owner>) -> Verdict {
    match remembered {
        None => Verdict::Unknown,
        Some(owner) if owner == caller => Verdict::Own,
        Some(_) => Verdict::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_owners_thing_is_foreign() {
        let me = Owner([1; 32]);
        let you = Owner([2; 32]);
        assert_eq!(judge(me, None), Verdict::Unknown);
        assert_eq!(judge(me, Some(me)), Verdict::Own);
        assert_eq!(judge(me, Some(you)), Verdict::Foreign);
    }
}
