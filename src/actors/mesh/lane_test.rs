//! What goes into a frame, how calls end, and that none leaves anything behind.

use std::pin::pin;

use futures_util::FutureExt as _;

use super::*;
use crate::ports::link_conformance::within;

const PATIENCE: Duration = Duration::from_secs(60);

fn lane() -> Arc<Lane> {
    let lane = Arc::new(Lane::new("n2".parse().unwrap()));
    lane.open();
    lane
}

type Asking = tokio::task::JoinHandle<Outcome>;

/// A call in a task of its own, which is in the table when this returns.
async fn ask(lane: &Arc<Lane>, partition: u16, body: impl Into<Bytes>, patience: Duration) -> Asking {
    let (asking, body, before) = (Arc::clone(lane), body.into(), lane.lock().next_id);
    let task = tokio::spawn(async move { asking.call(PartitionId(partition), body, patience).await });
    while lane.lock().next_id == before {
        tokio::task::yield_now().await;
    }
    task
}

async fn outcome(asking: Asking) -> Outcome {
    within(asking).await.unwrap()
}

fn frame(lane: &Lane) -> Option<Vec<MeshRequest>> {
    let frame = lane.take_frame()?;
    assert!(frame.len() <= limits::FRAME_BYTES_MAX);
    match MeshMessage::decode(&frame).unwrap() {
        MeshMessage::Requests(requests) => Some(requests),
        other => panic!("{other:?}"),
    }
}

fn ids(requests: Option<Vec<MeshRequest>>) -> Vec<u64> {
    requests
        .into_iter()
        .flatten()
        .map(|request| request.id.0)
        .collect()
}

fn answer(id: u64, result: Result<&'static str, &str>) -> MeshAnswer {
    MeshAnswer {
        id: CallId(id),
        result: result
            .map(|text| Bytes::from_static(text.as_bytes()))
            .map_err(str::to_owned),
    }
}

fn is_empty(lane: &Lane) -> bool {
    lane.load() == (0, limits::MESH_PLACES_MAX)
}

#[tokio::test]
async fn whatever_waits_goes_in_one_frame_and_each_call_gets_its_own_answer() {
    let lane = lane();
    let mut asking = Vec::new();
    for partition in 0..5 {
        asking.push(ask(&lane, partition, format!("body {partition}"), PATIENCE).await);
    }
    let requests = frame(&lane).unwrap();
    for (partition, request) in (0..5).zip(&requests) {
        assert_eq!(request.partition, PartitionId(partition));
        assert_eq!(request.body, format!("body {partition}"));
        assert_eq!(request.patience_ms, 60_000);
    }
    assert_eq!((requests.len(), frame(&lane)), (5, None));
    // In another order, and one of them as a failure.
    lane.answered(vec![answer(4, Ok("four")), answer(0, Ok("zero"))])
        .unwrap();
    lane.answered(vec![
        answer(2, Ok("two")),
        answer(1, Err("one")),
        answer(3, Ok("three")),
    ])
    .unwrap();
    let texts = ["zero", "one", "two", "three", "four"];
    for (text, asking) in texts.into_iter().zip(asking) {
        match outcome(asking).await {
            Ok(body) => assert_eq!(body, text),
            Err(error) => {
                assert_eq!(
                    (text, error.to_string().as_str()),
                    ("one", "node n2 has no answer: one")
                );
                assert!(error.may_have_been_received());
            }
        }
    }
    assert!(is_empty(&lane));
}

#[tokio::test]
async fn a_frame_has_a_limit_and_a_larger_request_goes_alone() {
    let lane = lane();
    let half = limits::MESH_FRAME_BYTES / 2 - ENVELOPE_BYTES_MAX;
    let mut asking = Vec::new();
    for bytes in [half, half, 1, limits::MESH_BODY_BYTES_MAX, 1] {
        asking.push(ask(&lane, 0, vec![7; bytes], PATIENCE).await);
    }
    let frames = [(); 5].map(|()| ids(frame(&lane)));
    assert_eq!(frames, [vec![0, 1], vec![2], vec![3], vec![4], vec![]]);
    drop(asking);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_not_sent_and_leaves_nothing_behind() {
    let lane = lane();
    let mut asking = Vec::new();
    for _ in 0..3 {
        asking.push(ask(&lane, 0, vec![7; limits::MESH_PLACE_BYTES], PATIENCE).await);
    }
    asking[1].abort();
    assert!(within(asking.remove(1)).await.unwrap_err().is_cancelled());
    assert_eq!(ids(frame(&lane)), [0, 2], "the one that was dropped is not sent");
    for asking in asking {
        asking.abort();
        assert!(within(asking).await.unwrap_err().is_cancelled());
    }
    assert!(is_empty(&lane));
    // Answers that come too late go nowhere.
    lane.answered(vec![answer(0, Ok("late"))]).unwrap();
}

#[tokio::test]
async fn a_call_ends_with_its_patience_and_says_whether_it_was_sent() {
    let lane = lane();
    let patience = Duration::from_millis(50);
    let unsent = outcome(ask(&lane, 0, "a", patience).await).await.unwrap_err();
    assert!(!unsent.may_have_been_received(), "{unsent}");
    assert_eq!(unsent.to_string(), "no answer from node n2 within 50 ms");
    let asking = ask(&lane, 0, "b", patience).await;
    assert_eq!(ids(frame(&lane)), [1], "the one before is gone");
    let sent = outcome(asking).await.unwrap_err();
    assert!(sent.may_have_been_received(), "{sent}");
    assert!(is_empty(&lane));
}

#[tokio::test]
async fn a_lost_connection_ends_all_calls_and_refuses_further_ones() {
    let lane = lane();
    let sent = ask(&lane, 0, "a", PATIENCE).await;
    assert_eq!(ids(frame(&lane)), [0]);
    let unsent = ask(&lane, 0, "b", PATIENCE).await;
    lane.close("the cable is cut");
    for (asking, is_sent) in [(sent, true), (unsent, false)] {
        let error = outcome(asking).await.unwrap_err();
        assert_eq!(error.may_have_been_received(), is_sent);
        assert_eq!(
            error.to_string(),
            "the connection to node n2 was lost: the cable is cut"
        );
    }
    assert!(is_empty(&lane));
    assert_eq!(frame(&lane), None);
    let refused = lane.call(PartitionId(0), Bytes::new(), PATIENCE).now_or_never();
    let refused = refused.expect("nothing is waited for").unwrap_err();
    assert_eq!(refused.to_string(), "node n2 is not connected: the cable is cut");
    assert!(!refused.may_have_been_received());
    // The next connection begins with what is asked from then on.
    lane.open();
    let asking = ask(&lane, 0, "c", PATIENCE).await;
    assert_eq!(ids(frame(&lane)), [2]);
    lane.answered(vec![answer(2, Ok("d"))]).unwrap();
    assert_eq!(outcome(asking).await.unwrap(), "d");
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once() {
    let lane = lane();
    let too_large = Bytes::from(vec![7; limits::MESH_BODY_BYTES_MAX + 1]);
    let error = lane.call(PartitionId(0), too_large, PATIENCE).await.unwrap_err();
    assert!(matches!(error, MeshError::BodyTooLarge { .. }) && !error.may_have_been_received());
    assert!(is_empty(&lane));
    // The largest take 512 of 4096 places.
    let mut asking = Vec::new();
    for _ in 0..8 {
        asking.push(ask(&lane, 0, vec![7; limits::MESH_BODY_BYTES_MAX], PATIENCE).await);
    }
    let error = lane
        .call(PartitionId(0), Bytes::new(), PATIENCE)
        .await
        .unwrap_err();
    assert!(matches!(error, MeshError::Overloaded(_)) && !error.may_have_been_received());
    asking[0].abort();
    assert!(within(&mut asking[0]).await.unwrap_err().is_cancelled());
    let next = ask(&lane, 0, "", PATIENCE).await;
    assert_eq!(lane.load(), (8, 511));
    drop((asking, next));
}

#[tokio::test]
async fn an_answer_to_what_was_never_sent_is_refused() {
    let lane = lane();
    let mut asking = pin!(lane.call(PartitionId(0), Bytes::new(), PATIENCE));
    assert!((&mut asking).now_or_never().is_none());
    assert!(lane.answered(vec![answer(0, Ok(""))]).is_err());
    assert_eq!(ids(frame(&lane)), [0]);
    lane.answered(vec![answer(0, Ok("")), answer(0, Ok("twice"))])
        .unwrap();
    assert_eq!(within(asking).await.unwrap(), "");
    assert!(lane.answered(vec![answer(1, Ok(""))]).is_err());
}

#[tokio::test]
async fn an_answer_that_meets_the_end_of_patience_is_not_lost_with_its_call() {
    let lane = lane();
    // No patience at all: whichever comes first, the call ends once and leaves the table.
    let asking = lane.call(PartitionId(0), Bytes::new(), Duration::ZERO);
    let error = within(asking).await.unwrap_err();
    assert!(
        matches!(error, MeshError::TimedOut { is_sent: false, .. }),
        "{error:?}"
    );
    assert!(is_empty(&lane));
}
