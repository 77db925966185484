//! Questions for clients over QUIC: whole answers, errors, and askers that give up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::kit_test::{LONG, Region, eventually, node_id};
use super::*;
use crate::model::limits;
use crate::ports::link_conformance::within;

#[tokio::test]
async fn an_answer_comes_whole_however_large_and_stands_in_nobodys_way() {
    let (_region, [one, two, _]) = Region::of_three().await;
    one.sees(two.id, |view| view.down.is_none()).await;
    let handle = one.mesh.handle();
    let ask = |question: &'static [u8]| handle.ask(two.id, Bytes::from_static(question), LONG);
    let (answer, body) = within(ask(b"small")).await.unwrap();
    assert_eq!((&*answer, &*body), (&b"0 small"[..], &b"small"[..]));
    let (answer, body) = within(ask(b"huge")).await.unwrap();
    assert_eq!((answer.len(), &answer), (3 * limits::FRAME_BYTES_MAX, &body));
}

#[tokio::test]
async fn what_has_no_answer_says_why_and_whether_it_was_received() {
    let (_region, [one, two, _]) = Region::of_three().await;
    one.sees(two.id, |view| view.down.is_none()).await;
    let handle = one.mesh.handle();
    let failed = within(handle.ask(two.id, Bytes::from_static(b"fail"), LONG))
        .await
        .unwrap_err();
    let reason = "it was told to".to_owned();
    assert_eq!(failed, MeshError::Failed { node: two.id, reason });
    let nobody = node_id("eu-9");
    let unknown = handle.ask(nobody, Bytes::new(), LONG).await;
    assert_eq!(unknown, Err(MeshError::UnknownNode(nobody)));
    let patience = Duration::from_millis(50);
    let late = within(handle.ask(two.id, Bytes::from_static(b"hang"), patience))
        .await
        .unwrap_err();
    assert!(
        matches!(late, MeshError::TimedOut { is_sent: true, .. }),
        "{late:?}"
    );
    // Nobody works for an asker that has gone.
    eventually(|| two.service.under_way.load(Ordering::SeqCst) == 0).await;
    assert!(two.service.under_way_max.load(Ordering::SeqCst) > 0);
}
