//! What the nodes of a region ask each other for clients and operators, each on a stream of its own
//! ([`mesh`](crate::wire::mesh)): a node that does not hold a partition asks one that does. The order of the variants is on the
//! wire: append only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::hlc::Hlc;
use crate::model::ids::{Namespace, PartitionId, RegionId};
use crate::model::partition_set::PartitionSet;
use crate::model::vector::VersionVector;
use crate::wire::codec::{self, DecodeError};
use crate::wire::messages::ForwardedRequest;

const QUESTION_FORMAT: u8 = 1;
const ANSWER_FORMAT: u8 = 1;

/// A question of one node to another. It is answered for the partitions that it names, if the one who is asked holds all of
/// them; asking goes no further than one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeQuestion {
    /// Answer this request of a client.
    Request {
        /// The region that has passed it on before, if one has.
        passed_on_by: Option<RegionId>,
        /// A listing of what is in these partitions; none of requests that are about one.
        part: Option<PartitionSet>,
        /// It.
        request: ForwardedRequest,
    },
    /// What is in the conflict ledger?
    Conflicts {
        /// Of these partitions.
        part: PartitionSet,
        /// Only of this namespace.
        namespace: Option<Namespace>,
        /// Only from this key on.
        from: Bytes,
        /// At most so many.
        limit: u32,
    },
    /// Which namespaces have records in these partitions?
    Namespaces(PartitionSet),
    /// Has the namespace any record in these partitions?
    HasData(PartitionSet, Namespace),
    /// What is the digest of each of these partitions, and what does it cover?
    Digests(PartitionSet),
    /// What is the highest stamp of an own commit that this node has?
    OwnThrough,
}

/// The answer to a [`NodeQuestion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAnswer {
    /// These of the partitions are not here: ask somebody else for them. Nothing was done.
    NotHeld(PartitionSet),
    /// It could not be answered, for people. Nothing was done.
    Failed(String),
    /// To `Request`; the body comes behind it.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The headers, by name.
        headers: Vec<(String, Bytes)>,
    },
    /// To `Conflicts`: keys and values as they are stored, in order, and whether there are more.
    Conflicts(Vec<(Bytes, Bytes)>, bool),
    /// To `Namespaces`, in order.
    Namespaces(Vec<Namespace>),
    /// To `HasData`.
    HasData(bool),
    /// To `Digests`.
    Digests(Vec<(PartitionId, u128, VersionVector)>),
    /// To `OwnThrough`.
    OwnThrough(Hlc),
}

impl NodeQuestion {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(QUESTION_FORMAT, self).into()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("a question of a node", QUESTION_FORMAT, bytes)
    }
}

impl NodeAnswer {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(ANSWER_FORMAT, self).into()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("an answer of a node", ANSWER_FORMAT, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_round_trip_with_golden_bytes() {
        let part: PartitionSet = [PartitionId(1), PartitionId(3)].into_iter().collect();
        let namespace: Namespace = "shop".parse().unwrap();
        let request = ForwardedRequest {
            method: "GET".to_owned(),
            target: "/v1/data/shop/registers".to_owned(),
            headers: vec![("atoll-session".to_owned(), Bytes::from_static(b"x"))],
            body: Bytes::new(),
            patience_ms: 300,
        };
        let questions = [
            NodeQuestion::Request {
                passed_on_by: Some("eu".parse().unwrap()),
                part: Some(part),
                request,
            },
            NodeQuestion::Conflicts {
                part,
                namespace: Some(namespace.clone()),
                from: Bytes::from_static(b"key"),
                limit: 7,
            },
            NodeQuestion::Namespaces(part),
            NodeQuestion::HasData(part, namespace.clone()),
            NodeQuestion::Digests(part),
            NodeQuestion::OwnThrough,
        ];
        let tags = questions.each_ref().map(|question| question.encode()[1]);
        assert_eq!(tags, [0, 1, 2, 3, 4, 5]);
        for question in questions {
            assert_eq!(NodeQuestion::decode(&question.encode()), Ok(question));
        }
        let mut golden = vec![1, 2, 10];
        golden.extend([0; 15]);
        assert_eq!(NodeQuestion::Namespaces(part).encode(), golden);
        let answers = [
            NodeAnswer::NotHeld(part),
            NodeAnswer::Failed("why".to_owned()),
            NodeAnswer::Answered {
                status: 200,
                headers: Vec::new(),
            },
            NodeAnswer::Conflicts(vec![(Bytes::from_static(b"k"), Bytes::from_static(b"v"))], true),
            NodeAnswer::Namespaces(vec![namespace]),
            NodeAnswer::HasData(true),
            NodeAnswer::Digests(vec![(PartitionId(3), u128::MAX, VersionVector::new())]),
            NodeAnswer::OwnThrough(Hlc(9)),
        ];
        let tags = answers.each_ref().map(|answer| answer.encode()[1]);
        assert_eq!(tags, [0, 1, 2, 3, 4, 5, 6, 7]);
        for answer in answers {
            assert_eq!(NodeAnswer::decode(&answer.encode()), Ok(answer));
        }
        assert!(NodeQuestion::decode(b"\x01\x09").is_err() && NodeAnswer::decode(b"\x02").is_err());
    }
}
