//! Preconditions on members, fields and counters: what they see, what they decide first, and the tags that they compare.

use super::*;

fn matches(tag: &str) -> Precondition {
    Precondition::Matches(vec![tag.to_owned()])
}

fn differs(tag: &str) -> Precondition {
    Precondition::DiffersFrom(vec![tag.to_owned()])
}

fn refused(current: Option<&str>) -> Result<WriteAnswer, WriteRefusal> {
    let current = current.map(str::to_owned);
    Err(WriteRefusal::PreconditionFailed { current })
}

/// The tag that a write is answered.
fn tag(answer: &Result<WriteAnswer, WriteRefusal>) -> &str {
    answer.as_ref().unwrap().tag.as_deref().unwrap()
}

/// How to put one member or field, and how to take it away.
type PutAndRemove = (fn() -> WriteRequest, fn() -> WriteRequest);

const PARTS: [PutAndRemove; 2] = [
    (|| set(&["m"], &[]), || set(&[], &["m"])),
    (|| map(&["m"], &[]), || map(&[], &["m"])),
];

#[test]
fn preconditions_on_parts_see_earlier_writes_of_their_group() {
    for (put, remove) in PARTS {
        let (answers, commit) = Region::new().execute(&[
            when(Precondition::Absent, put()),
            when(Precondition::Absent, put()),
            when(Precondition::Exists, remove()),
            when(Precondition::Exists, put()),
            when(Precondition::Absent, put()),
        ]);
        let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(done, [true, false, true, false, true]);
        assert_eq!(answers[1], refused(Some(tag(&answers[0]))));
        assert_eq!(answers[2].as_ref().unwrap().tag, None, "it is gone");
        assert_eq!(answers[3], refused(None));
        assert_ne!(tag(&answers[4]), tag(&answers[0]), "it is another one");
        assert_eq!(
            commit.unwrap().changes.len(),
            3,
            "refused requests leave no change"
        );
    }
}

#[test]
fn a_precondition_decides_also_where_there_is_nothing_to_do() {
    for (_, remove) in PARTS {
        let mut region = Region::new();
        for precondition in [Precondition::Exists, matches("some")] {
            assert_eq!(region.one(when(precondition, remove())), refused(None));
        }
        for precondition in [Precondition::Absent, differs("some")] {
            let answer = region.one(when(precondition, remove())).unwrap();
            assert_eq!((answer.version, answer.tag), (None, None));
        }
    }
}

#[test]
fn the_tag_of_a_part_holds_until_its_next_change_and_not_that_of_another_part() {
    for (put, remove) in PARTS {
        let mut region = Region::new();
        let answer = region.one(put());
        let first = tag(&answer);
        let others = [set(&["n"], &[]), map(&["n"], &["o"])];
        let before = region.tables.rows.clone();
        for other in others {
            region.one(other).unwrap();
        }
        assert!(before.iter().all(|(id, row)| region.tables.rows[id] == *row));
        assert_eq!(region.one(when(differs(first), remove())), refused(Some(first)));
        let answer = region.one(when(matches(first), put()));
        let second = tag(&answer);
        assert_ne!(second, first, "what shows the same was put again");
        for request in [put(), remove()] {
            assert_eq!(region.one(when(matches(first), request)), refused(Some(second)));
        }
        region.one(when(matches(second), remove())).unwrap();
        assert_eq!(region.one(when(matches(second), put())), refused(None));
    }
}

#[test]
fn a_request_on_one_part_says_its_tag_and_one_on_several_says_none() {
    let mut region = Region::new();
    for (request, is_tagged) in [
        (set(&["a"], &[]), true),
        (set(&["a"], &["a"]), true),
        (set(&["a", "a"], &[]), true),
        (set(&["a", "b"], &[]), false),
        (set(&["a"], &["b"]), false),
        (set(&[], &[]), false),
        (map(&["a"], &["a"]), true),
        (map(&["a"], &["b"]), false),
        (add(1), true),
        (request(Operation::ResetCounter), true),
    ] {
        let row = request.row();
        let answer = region.one(request).unwrap();
        assert_eq!(answer.tag.is_some(), is_tagged);
        let stored = row.and_then(|id| region.tables.rows[&id].entity_tag(NOW));
        assert_eq!(answer.tag, stored);
    }
}

#[test]
fn a_counter_is_there_once_it_was_touched_and_stays() {
    let mut region = Region::new();
    let reset = || request(Operation::ResetCounter);
    for precondition in [Precondition::Exists, matches("some")] {
        for request in [add(1), reset()] {
            assert_eq!(region.one(when(precondition.clone(), request)), refused(None));
        }
    }
    let (answers, _) = region.execute(&[
        when(Precondition::Absent, add(5)),
        when(Precondition::Absent, add(5)),
        when(Precondition::Exists, reset()),
        when(Precondition::Absent, add(1)),
    ]);
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, false]);
    assert_eq!(answers[3], refused(Some(tag(&answers[2]))));
}

#[test]
fn compare_and_add_takes_each_state_of_a_counter_once_also_where_the_value_comes_back() {
    let mut region = Region::new();
    let mut seen = vec![tag(&region.one(add(7))).to_owned()];
    for amount in [3, -3, i64::MIN, i64::MAX] {
        let current = seen.last().unwrap().clone();
        for past in &seen[..seen.len() - 1] {
            assert_eq!(
                region.one(when(matches(past), add(amount))),
                refused(Some(&current))
            );
        }
        let answer = region.one(when(matches(&current), add(amount)));
        assert!(!seen.iter().any(|past| past == tag(&answer)));
        seen.push(tag(&answer).to_owned());
    }
}

/// A group of one region, as another one gets it.
fn deliver(commit: &Commit, to: &mut Region) {
    to.receive(
        commit.origin.region.as_str(),
        commit.hlc.0,
        commit.changes.clone(),
    );
}

#[test]
fn regions_with_the_same_rows_have_the_same_tags_and_those_apart_have_others() {
    for request in [set(&["m"], &[]), map(&["m"], &[]), add(1)] {
        let remote = {
            let mut elsewhere = Region::new();
            let commit = elsewhere.execute(std::slice::from_ref(&request)).1.unwrap();
            Commit {
                origin: replica("eu"),
                ..commit
            }
        };
        let (mut here, mut there) = (Region::new(), Region::new());
        let local = here.execute(std::slice::from_ref(&request)).1.unwrap();
        let id = request.row().unwrap();
        let tag_in = |region: &Region| region.tables.rows[&id].entity_tag(NOW).unwrap();
        deliver(&remote, &mut there);
        assert_ne!(tag_in(&here), tag_in(&there));
        let before = tag_in(&here);
        deliver(&remote, &mut here);
        deliver(&local, &mut there);
        assert_eq!(tag_in(&here), tag_in(&there));
        assert_ne!(tag_in(&here), before);
        assert_eq!(
            here.one(when(matches(&before), request)),
            refused(Some(&tag_in(&there)))
        );
    }
}
