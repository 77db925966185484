//! Remembered outcomes and how many there are, as stored. Each starts with a format number of its own.
//!
//! The order of the variants is persisted: append only.

use serde::{Deserialize, Serialize};

use crate::model::hlc::WallTime;
use crate::model::idempotency::{Fingerprint, IdempotencyTally, Outcome, Remembered};
use crate::model::record::Version;
use crate::model::request::{BatchRefusal, WriteAnswer, WriteEffect, WriteRefusal};
use crate::model::rows::counter::CounterOverflow;
use crate::wire::codec::{self, DecodeError};

const OUTCOME_FORMAT: u8 = 1;
const TALLY_FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct StoredRemembered {
    fingerprint: [u8; 32],
    at: WallTime,
    outcome: StoredOutcome,
}

/// An outcome inside what is stored or sent.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredOutcome {
    Made(Vec<(Option<Version>, StoredEffect)>),
    Refused(u64, StoredRefusal),
    /// Made, where some answer has an entity tag of its own.
    MadeTagged(Vec<(Option<Version>, Option<String>, StoredEffect)>),
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredEffect {
    Register,
    Counter { value: i128 },
    Parts { added: u64, removed: u64 },
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredRefusal {
    PreconditionFailed { current: Option<String> },
    CounterOverflow,
    TooManySiblings { count: u64 },
}

/// The bytes of a remembered outcome.
#[must_use]
pub fn encode_remembered(remembered: &Remembered) -> Vec<u8> {
    let stored = StoredRemembered {
        fingerprint: remembered.fingerprint.0,
        at: remembered.at,
        outcome: StoredOutcome::of(&remembered.outcome),
    };
    codec::encode_versioned(OUTCOME_FORMAT, &stored)
}

/// Reads what [`encode_remembered`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_remembered(bytes: &[u8]) -> Result<Remembered, DecodeError> {
    let stored: StoredRemembered = codec::decode_versioned("a remembered outcome", OUTCOME_FORMAT, bytes)?;
    Ok(Remembered {
        fingerprint: Fingerprint(stored.fingerprint),
        at: stored.at,
        outcome: stored.outcome.outcome()?,
    })
}

impl StoredOutcome {
    /// As it is stored.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(answers) if answers.iter().any(|answer| answer.tag.is_some()) => {
                let answers = answers.iter();
                let answers =
                    answers.map(|answer| (answer.version, answer.tag.clone(), effect(&answer.effect)));
                Self::MadeTagged(answers.collect())
            }
            Ok(answers) => {
                let answers = answers.iter();
                let answers = answers.map(|answer| (answer.version, effect(&answer.effect)));
                Self::Made(answers.collect())
            }
            Err(refused) => Self::Refused(refused.position as u64, refusal(&refused.refusal)),
        }
    }

    /// What is stored.
    pub(super) fn outcome(self) -> Result<Outcome, DecodeError> {
        Ok(match self {
            Self::Made(answers) => {
                let answers = answers.into_iter();
                Ok(made(answers.map(|(version, effect)| (version, None, effect)))?)
            }
            Self::MadeTagged(answers) => Ok(made(answers.into_iter())?),
            Self::Refused(position, refusal) => Err(BatchRefusal {
                position: number(position)?,
                refusal: refusal_of(refusal)?,
            }),
        })
    }
}

fn made(
    answers: impl Iterator<Item = (Option<Version>, Option<String>, StoredEffect)>,
) -> Result<Vec<WriteAnswer>, DecodeError> {
    let answers = answers.map(|(version, tag, effect)| {
        Ok(WriteAnswer {
            version,
            tag,
            effect: effect_of(&effect)?,
        })
    });
    answers.collect()
}

/// The bytes of how much a partition remembers.
#[must_use]
pub fn encode_tally(tally: IdempotencyTally) -> Vec<u8> {
    codec::encode_versioned(TALLY_FORMAT, &(tally.records, tally.bytes))
}

/// Reads what [`encode_tally`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_tally(bytes: &[u8]) -> Result<IdempotencyTally, DecodeError> {
    let (records, bytes) = codec::decode_versioned("a tally of outcomes", TALLY_FORMAT, bytes)?;
    Ok(IdempotencyTally { records, bytes })
}

fn effect(effect: &WriteEffect) -> StoredEffect {
    match effect {
        WriteEffect::Register => StoredEffect::Register,
        WriteEffect::Counter { value } => StoredEffect::Counter { value: *value },
        WriteEffect::Parts { added, removed } => StoredEffect::Parts {
            added: *added as u64,
            removed: *removed as u64,
        },
    }
}

fn effect_of(stored: &StoredEffect) -> Result<WriteEffect, DecodeError> {
    Ok(match stored {
        StoredEffect::Register => WriteEffect::Register,
        StoredEffect::Counter { value } => WriteEffect::Counter { value: *value },
        StoredEffect::Parts { added, removed } => WriteEffect::Parts {
            added: number(*added)?,
            removed: number(*removed)?,
        },
    })
}

fn refusal(refusal: &WriteRefusal) -> StoredRefusal {
    match refusal {
        WriteRefusal::PreconditionFailed { current } => StoredRefusal::PreconditionFailed {
            current: current.clone(),
        },
        WriteRefusal::CounterOverflow(CounterOverflow) => StoredRefusal::CounterOverflow,
        WriteRefusal::TooManySiblings { count } => StoredRefusal::TooManySiblings { count: *count as u64 },
    }
}

fn refusal_of(stored: StoredRefusal) -> Result<WriteRefusal, DecodeError> {
    Ok(match stored {
        StoredRefusal::PreconditionFailed { current } => WriteRefusal::PreconditionFailed { current },
        StoredRefusal::CounterOverflow => WriteRefusal::CounterOverflow(CounterOverflow),
        StoredRefusal::TooManySiblings { count } => WriteRefusal::TooManySiblings {
            count: number(count)?,
        },
    })
}

fn number(stored: u64) -> Result<usize, DecodeError> {
    usize::try_from(stored)
        .map_err(|_| DecodeError::new("a remembered outcome", "a number in it is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hlc::Hlc;
    use crate::wire::samples_test::{hex, replica};

    fn remembered(outcome: crate::model::idempotency::Outcome) -> Remembered {
        Remembered {
            fingerprint: Fingerprint([7; 32]),
            at: WallTime::from_micros(300),
            outcome,
        }
    }

    fn samples() -> Vec<Remembered> {
        let version = Version {
            hlc: Hlc(5 << 32),
            region: replica("eu", 1).region,
        };
        let answer = |version, effect| WriteAnswer {
            version,
            tag: None,
            effect,
        };
        let refused = |position, refusal| remembered(Err(BatchRefusal { position, refusal }));
        let made = vec![
            answer(Some(version), WriteEffect::Register),
            answer(Some(version), WriteEffect::Counter { value: -3 }),
            answer(None, WriteEffect::Parts { added: 0, removed: 2 }),
        ];
        let tagged = vec![
            answer(Some(version), WriteEffect::Register),
            WriteAnswer {
                tag: Some("tag".to_owned()),
                ..answer(Some(version), WriteEffect::Counter { value: 4 })
            },
        ];
        let current = Some("tag".to_owned());
        vec![
            remembered(Ok(made)),
            remembered(Ok(tagged)),
            refused(1, WriteRefusal::PreconditionFailed { current }),
            refused(0, WriteRefusal::CounterOverflow(CounterOverflow)),
            refused(300, WriteRefusal::TooManySiblings { count: 64 }),
        ]
    }

    #[test]
    fn golden_bytes_of_outcomes() {
        let front = format!("01{}fb2c01", "07".repeat(32));
        for (sample, golden) in samples().into_iter().zip(GOLDEN) {
            let bytes = encode_remembered(&sample);
            assert_eq!(
                hex(&bytes),
                format!("{front}{golden}"),
                "the persisted bytes have changed"
            );
            assert_eq!(decode_remembered(&bytes), Ok(sample));
        }
    }

    const GOLDEN: [&str; 5] = [
        "000301fd00000000050000000265750001fd0000000005000000026575010500020002",
        "020201fd0000000005000000026575000001fd000000000500000002657501037461670108",
        "0101000103746167",
        "010001",
        "01fb2c010240",
    ];

    #[test]
    fn golden_bytes_of_a_tally() {
        let tally = IdempotencyTally {
            records: 300,
            bytes: 70_000,
        };
        assert_eq!(hex(&encode_tally(tally)), "01fb2c01fc70110100");
        assert_eq!(decode_tally(&encode_tally(tally)), Ok(tally));
        assert!(decode_tally(&[2, 0, 0]).is_err());
    }

    #[test]
    fn damaged_outcomes_are_refused_or_another_outcome() {
        for sample in samples() {
            let bytes = encode_remembered(&sample);
            for cut in 0..bytes.len() {
                assert!(decode_remembered(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
