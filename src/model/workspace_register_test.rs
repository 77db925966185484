//! What writes of registers are answered, and what concurrent ones leave in rows and ledger.

use super::*;

#[test]
fn preconditions_see_earlier_writes_of_their_group() {
    let mut region = Region::new();
    let (answers, commit) = region.execute(&[
        when(Precondition::Absent, put("first")),
        when(Precondition::Absent, put("second")),
        when(Precondition::Exists, request(Operation::DeleteRegister)),
        when(Precondition::Exists, put("third")),
        when(Precondition::Absent, put("fourth")),
    ]);
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, false, true]);
    assert_eq!(
        commit.unwrap().changes.len(),
        3,
        "refused requests leave no change"
    );
    let first = answers[0].as_ref().unwrap().version.unwrap();
    let refusal = WriteRefusal::PreconditionFailed {
        current: Some(first.to_string()),
    };
    assert_eq!(answers[1], Err(refusal));
    assert_eq!(
        answers[3],
        Err(WriteRefusal::PreconditionFailed { current: None })
    );
}

#[test]
fn a_tag_holds_until_the_next_write() {
    let mut region = Region::new();
    let tag = region.one(put("a")).unwrap().version.unwrap().to_string();
    let if_match = |tag: &str| Precondition::Matches(vec![tag.to_owned()]);
    let next = region
        .one(when(if_match(&tag), put("b")))
        .unwrap()
        .version
        .unwrap()
        .to_string();
    assert!(region.one(when(if_match(&tag), put("c"))).is_err());
    let other = Precondition::DiffersFrom(vec![next]);
    assert!(region.one(when(other, put("c"))).is_err());
    assert_eq!(region.register().versions().len(), 1);
}

#[test]
fn what_has_expired_is_absent_for_preconditions_and_stays_stored() {
    let mut region = Region::new();
    let expiring = Content {
        expires_at: Some(WallTime::from_millis(2000)),
        ..content("a")
    };
    let operation = Operation::PutRegister {
        content: expiring,
        context: None,
    };
    region.one(request(operation)).unwrap();
    let absent = || when(Precondition::Absent, put("b"));
    let before = WallTime::from_micros(1_999_999);
    assert!(region.execute_at(before, &[absent()]).0[0].is_err());
    assert!(matches!(
        region.summary(RecordType::Register),
        Some(Summary::Register { .. })
    ));
    assert!(region.execute_at(WallTime::from_millis(2000), &[absent()]).0[0].is_ok());
}

/// A register with `count` concurrent siblings from other regions, and their dots.
fn with_siblings(count: usize) -> (Region, Vec<Dot>) {
    let mut region = Region::new();
    for number in 0..count {
        let change = Change {
            record: record(RecordType::Register),
            delta: Delta::Register {
                policy: ConflictPolicy::Siblings,
                replaces: Replaces::Seen,
                content: Some(content(&number.to_string())),
            },
        };
        region.receive(&format!("r{number}"), 100, vec![change]);
    }
    let dots = region
        .register()
        .versions()
        .iter()
        .map(|version| version.dot)
        .collect();
    (region, dots)
}

#[test]
fn one_more_sibling_than_are_kept_is_refused() {
    let (mut region, dots) = with_siblings(limits::SIBLINGS_MAX - 1);
    region.one(put_back("one more", Vec::new())).unwrap();
    let refusal = WriteRefusal::TooManySiblings {
        count: limits::SIBLINGS_MAX,
    };
    assert_eq!(region.one(put_back("too many", Vec::new())), Err(refusal.clone()));
    let unknown = Dot {
        replica: replica("r1"),
        seq: 99,
    };
    assert_eq!(region.one(put_back("replaces none", vec![unknown])), Err(refusal));
    region.one(put_back("replaces one", dots[..1].to_vec())).unwrap();
    assert_eq!(region.register().versions().len(), limits::SIBLINGS_MAX);
    region.one(put_back("replaces two", dots[1..3].to_vec())).unwrap();
    assert_eq!(region.register().versions().len(), limits::SIBLINGS_MAX - 1);
}

#[test]
fn a_write_without_context_replaces_all_that_was_seen() {
    let (mut region, _) = with_siblings(limits::SIBLINGS_MAX);
    let request = WriteRequest {
        policy: ConflictPolicy::Siblings,
        ..put("all")
    };
    region.one(request).unwrap();
    assert_eq!(region.register().versions().len(), 1);
}

#[test]
fn a_sibling_that_the_region_has_not_applied_is_not_replaced() {
    let unseen = Dot {
        replica: replica("eu"),
        seq: 1,
    };
    let commit = Region::new()
        .execute(&[put_back("answer", vec![unseen])])
        .1
        .unwrap();
    let Delta::Register { replaces, .. } = &commit.changes[0].delta else {
        panic!("{commit:?}")
    };
    assert_eq!(
        *replaces,
        Replaces::Exactly(Vec::new()),
        "the region does not claim to replace it"
    );

    let written = |text: &str, replaces| Change {
        record: record(RecordType::Register),
        delta: Delta::Register {
            policy: ConflictPolicy::Siblings,
            replaces,
            content: Some(content(text)),
        },
    };
    let late = || vec![written("late", Replaces::Seen)];
    let claim = || vec![written("answer", Replaces::Exactly(vec![unseen]))];
    let mut here = Region::new();
    here.receive("sa", 9, claim());
    here.receive("eu", 5, late());
    let mut there = Region::new();
    there.receive("eu", 5, late());
    there.receive("sa", 9, claim());
    assert_eq!(
        here.register(),
        there.register(),
        "in either order of arrival, though a peer claims it"
    );
    assert_eq!(here.register().versions().len(), 2);
}

#[test]
fn concurrent_writes_put_the_loser_into_the_ledger_with_its_bytes() {
    let written = |content: Option<Content>| Change {
        record: record(RecordType::Register),
        delta: Delta::Register {
            policy: ConflictPolicy::Lww,
            replaces: Replaces::Seen,
            content,
        },
    };
    let loser = |region: &mut Region, name: &str, hlc, content| {
        let mut losers = region.receive(name, hlc, vec![written(content)]);
        assert_eq!(losers.len(), 1);
        let RecordedLoser { row, loser } = losers.remove(0);
        assert_eq!(row, record(RecordType::Register).row());
        assert!(loser.winner > loser.loser);
        (
            loser.reason,
            loser
                .value
                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()),
        )
    };
    let mut region = Region::new();
    region.one(put("local")).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        loser(&mut region, "eu", 5, Some(content("old"))),
        (LossReason::ConcurrentWrite, text("old"))
    );
    assert_eq!(
        loser(&mut region, "ap", 6, None),
        (LossReason::DeleteOverruled, None)
    );
    let later = region.hlc.0 + 50_000;
    assert_eq!(
        loser(&mut region, "sa", later, None),
        (LossReason::ConcurrentDelete, text("local"))
    );
    assert_eq!(
        region.summary(RecordType::Register),
        None,
        "a deleted register is not listed"
    );
    let same = (LossReason::DeleteOverruled, None);
    assert_eq!(
        loser(&mut region, "za", later, Some(content("tie"))),
        same,
        "the region's name breaks ties"
    );
}

#[test]
fn a_delete_of_an_absent_register_is_made_and_not_listed() {
    let mut region = Region::new();
    let answer = region.one(request(Operation::DeleteRegister)).unwrap();
    assert!(answer.version.is_some());
    assert_eq!(region.summary(RecordType::Register), None);
    assert_eq!(region.register().entity_tag(NOW), None);
}

fn lww_put_back(text: &str, context: Vec<Dot>) -> WriteRequest {
    WriteRequest {
        policy: ConflictPolicy::Lww,
        ..put_back(text, context)
    }
}

#[test]
fn under_lww_a_version_that_is_seen_and_not_named_goes_to_the_ledger() {
    let mut region = Region::new();
    let first = region.one(put("first")).unwrap().version.unwrap();
    let named = region.register().versions()[0].dot;
    region.one(lww_put_back("second", vec![named])).unwrap();
    assert_eq!(region.losers, [], "what is named is replaced");
    let second = region.register().versions()[0].version();
    assert!(second > first);

    let (_, commit) = region.execute(&[lww_put_back("third", Vec::new())]);
    let third = region.register().versions()[0].version();
    let expected = Loser {
        winner: third,
        loser: second,
        value: Some(content("second").payload),
        reason: LossReason::Overruled,
    };
    let losers: Vec<&Loser> = region.losers.iter().map(|lost| &lost.loser).collect();
    assert_eq!(losers, [&expected]);
    assert_eq!(region.register().versions().len(), 1);

    // Another region decides the same, from the commits alone.
    let mut other = Region::new();
    let Delta::Register { replaces, .. } = &commit.unwrap().changes[0].delta else {
        panic!("not a register's")
    };
    assert_eq!(*replaces, Replaces::Exactly(Vec::new()));
    let written = |text: &str, replaces: &Replaces| Change {
        record: record(RecordType::Register),
        delta: Delta::Register {
            policy: ConflictPolicy::Lww,
            replaces: replaces.clone(),
            content: Some(content(text)),
        },
    };
    assert!(
        other
            .receive("us", 5, vec![written("second", &Replaces::Seen)])
            .is_empty()
    );
    let losers = other.receive("us", 6, vec![written("third", replaces)]);
    assert_eq!(losers.len(), 1);
    assert_eq!(losers[0].loser.reason, LossReason::Overruled);
    assert_eq!(losers[0].loser.value, Some(content("second").payload));
}

#[test]
fn under_lww_a_write_without_context_leaves_nothing_in_the_ledger_of_what_it_has_seen() {
    let mut region = Region::new();
    region.one(put("first")).unwrap();
    region.one(put("second")).unwrap();
    assert_eq!(region.losers, []);
    assert_eq!(region.register().versions().len(), 1);
}
